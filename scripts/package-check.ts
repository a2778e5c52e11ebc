/**
 * Packs the package, installs what was packed into an empty folder, and uses it there as somebody would: `npm run package:check`.
 * The command, the service in another's process and the types, on this Node, on the oldest that is served and on the system's
 * own; on an older one, the message that says so.
 */
import { execFile, execFileSync, spawnSync } from 'node:child_process'
import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const PROGRAMS = join(ROOT, 'test/package')
const COMMAND = 'node_modules/attention-server/bin/attention-server.js'
const MOST_BYTES = 15e6
const OLDEST = 22
const INSTALL = [
  'install',
  '--ignore-scripts',
  '--prefer-offline',
  '--no-audit',
  '--no-fund',
  '--loglevel=error',
]

const run = promisify(execFile)
const begin = performance.now()

function say(what: string): void {
  console.log(`${((performance.now() - begin) / 1000).toFixed(1).padStart(6)} s  ${what}`)
}

function fail(what: string): never {
  throw new Error(what)
}

/** A program of the project's own tools. */
function tool(name: string, ...args: string[]): void {
  execFileSync(join(ROOT, 'node_modules/.bin', name), args, { cwd: ROOT, stdio: 'inherit' })
}

function pack(folder: string): string {
  const args = ['pack', '--ignore-scripts', '--json', '--pack-destination', folder]
  const text = execFileSync('npm', args, { cwd: ROOT, encoding: 'utf8', maxBuffer: 1 << 26 })
  const report = JSON.parse(text)
  const [{ filename, files, unpackedSize }] = Array.isArray(report) ? report : Object.values(report)
  const file = join(folder, filename)
  const size = statSync(file).size
  if (unpackedSize > MOST_BYTES) fail(`expected at most ${MOST_BYTES} bytes, got ${unpackedSize}`)
  const foreign = files
    .map(({ path }: { path: string }) => path)
    .filter((path: string) => !/^(bin|dist)\/|^(package\.json|README(\.ko)?\.md|LICENSE)$/.test(path))
  if (foreign.length > 0) fail(`does not belong into the package: ${foreign.join(', ')}`)
  say(
    `${filename}: ${files.length} files, ${(size / 1e6).toFixed(1)} MB packed, ${(unpackedSize / 1e6).toFixed(1)} MB unpacked`,
  )
  return file
}

function checkManifest(): void {
  const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
  const hooks = ['preinstall', 'install', 'postinstall', 'prepare'].filter(name => name in scripts)
  if (hooks.length > 0) fail(`a package without install scripts has none of ${hooks.join(', ')}`)
}

/** Every Node that the machine has besides this one; `npm run` puts the project's own before the system's. */
function systemNodes(): string[] {
  const folders = (process.env.PATH ?? '').split(delimiter).filter(folder => !folder.includes('node_modules'))
  return folders.map(folder => join(folder, 'node')).filter(file => existsSync(file))
}

function majorOf(node: string): number {
  return Number(/^v(\d+)/.exec(spawnSync(node, ['--version'], { encoding: 'utf8' }).stdout)?.[1])
}

/** The oldest Node served, from the registry as this project's own is. */
async function oldestNode(folder: string): Promise<string> {
  writeFileSync(join(folder, 'package.json'), '{"private":true}')
  const args = INSTALL.filter(arg => arg !== '--ignore-scripts')
  await run('npm', [...args, `node@${OLDEST}`], { cwd: folder })
  return join(folder, 'node_modules/node/bin/node')
}

async function use(node: string, folder: string): Promise<void> {
  const options = { cwd: folder, timeout: 60_000 }
  for (const args of [['serve.mjs', node, COMMAND], ['embedded.mjs']]) {
    await run(node, args, options)
    say(`Node ${majorOf(node)}: ${args[0]}`)
  }
}

function refuse(node: string, folder: string): void {
  const { status, stderr } = spawnSync(node, [COMMAND, 'serve'], { cwd: folder, encoding: 'utf8' })
  if (status !== 2 || !/needs Node 22 or newer; this is Node \d/.test(stderr)) {
    fail(`Node ${majorOf(node)} is not told what is needed: ${status} ${stderr}`)
  }
  say(`Node ${majorOf(node)}: refused`)
}

const temporary = mkdtempSync(join(tmpdir(), 'attention-package-'))
try {
  checkManifest()
  const [user, oldest] = ['user', 'oldest'].map(name => mkdtempSync(join(temporary, name)))
  const file = pack(temporary)
  tool('publint', 'run', file, '--strict')
  tool('attw', file, '--quiet')
  say('publint and attw')

  writeFileSync(join(user, 'package.json'), '{"private":true,"type":"module"}')
  await run('npm', [...INSTALL, file], { cwd: user })
  say('installed')
  for (const name of readdirSync(PROGRAMS)) copyFileSync(join(PROGRAMS, name), join(user, name))
  const compiler = { strict: true, noEmit: true, module: 'nodenext', target: 'esnext', types: [] }
  writeFileSync(
    join(user, 'tsconfig.json'),
    JSON.stringify({ compilerOptions: compiler, files: ['types.ts'] }),
  )
  tool('tsc', '-p', user)
  say('types')

  await use(process.execPath, user)
  await use(await oldestNode(oldest), user)
  for (const node of systemNodes()) {
    if (majorOf(node) < OLDEST) refuse(node, user)
    else await use(node, user)
  }
} finally {
  rmSync(temporary, { recursive: true, force: true })
}
