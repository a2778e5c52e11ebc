/**
 * Writes dist/, what an installed package runs: `node scripts/build-package.ts`, after the kernels and the page. Node strips no
 * types below node_modules, so it is JavaScript, in the folders of the sources: files find each other and what they read by the
 * same relative addresses.
 */
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const DIST = join(ROOT, 'dist')
const TSC = join(ROOT, 'node_modules/typescript/bin/tsc')

/** What the service reads beside its own files; stamps of builds stay behind. */
const RESOURCES = [
  'src/client/api.d.ts',
  'src/client/stream-api.d.ts',
  'workers/wasm/build',
  'workers/text/build',
  'web/dist',
  'openapi',
  'models',
]
/** Whose types a user of the package sees, with what they name. */
const PUBLIC = ['src/package/index.d.ts', 'src/package/fastify.d.ts', 'src/client/index.d.ts']

/** `new URL('…', import.meta.url)` */
const ADDRESS = /new URL\('([^']+)', import\.meta\.url\)/g
/** What is of the repository alone, or made later: looked for before it is read. */
const NOT_PACKED = /^(\.\.\/)+(test\/|\.cache\/$)/
/** The file that an import or an export is from. */
const IMPORT = /(\bfrom |\bimport\(|\bimport )'(\.[^']+?)(?:\.d)?\.[tj]s'/g

function filesOf(ending: string): string[] {
  const names = readdirSync(DIST, { recursive: true, encoding: 'utf8' })
  return names.filter(name => name.endsWith(ending)).map(name => join(DIST, name))
}

/** Of declarations alone: a type that cannot be named. */
const UNNAMED = /^(\S+)\.ts\(\d+,\d+\): error TS4\d{3}:/

/** Gives the files whose declarations could not be written, which matters where they are public. */
function compile(): string[] {
  rmSync(DIST, { recursive: true, force: true })
  const { status, stdout } = spawnSync(process.execPath, [TSC, '-p', 'tsconfig.package.json'], {
    cwd: ROOT,
    encoding: 'utf8',
  })
  if (status === 0) return []
  const faults = stdout.split('\n').filter(line => /^\S/.test(line))
  const others = faults.filter(line => !UNNAMED.test(line))
  if (others.length > 0 || faults.length === 0) throw new Error(stdout)
  return faults.map(line => join(DIST, `${UNNAMED.exec(line)?.[1]}.d.ts`))
}

function copyResources(): void {
  for (const name of RESOURCES) {
    cpSync(join(ROOT, name), join(DIST, name), {
      recursive: true,
      filter: from => !/\.stamp$|stamp\.txt$/.test(from),
    })
  }
  const { name, version, type } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'))
  writeFileSync(join(DIST, 'package.json'), `${JSON.stringify({ name, version, type })}\n`)
}

/** Addresses of sources become those of what they have been compiled to; each must be there. */
function relocate(): void {
  for (const file of filesOf('.js')) {
    const text = readFileSync(file, 'utf8')
    const changed = text.replace(ADDRESS, (whole, address: string) =>
      whole.replace(address, compiled(address)),
    )
    if (changed !== text) writeFileSync(file, changed)
    for (const [, address] of changed.matchAll(ADDRESS)) {
      if (!NOT_PACKED.test(address) && !existsSync(resolve(dirname(file), address)))
        throw new Error(`${file} reads ${address}: not in dist`)
    }
  }
}

function compiled(address: string): string {
  return address.replace(/(?<!\.d)\.ts$/, '.js')
}

/** Keeps the declarations that the public ones name; among themselves they name JavaScript, as a user's compiler expects. */
function keepDeclarations(unwritten: string[]): void {
  const kept = new Set<string>()
  const keep = (file: string): void => {
    if (kept.has(file)) return
    kept.add(file)
    const text = readFileSync(file, 'utf8')
    for (const [, , target] of text.matchAll(IMPORT)) {
      const source = target.replace(/\.d$/, '')
      keep(resolve(dirname(file), `${source}.d.ts`))
    }
    writeFileSync(file, text.replace(IMPORT, "$1'$2.js'"))
  }
  for (const name of PUBLIC) keep(join(DIST, name))
  const missing = unwritten.filter(file => kept.has(file))
  if (missing.length > 0) throw new Error(`public types that cannot be named: ${missing.join(', ')}`)
  for (const file of filesOf('.d.ts')) if (!kept.has(file)) rmSync(file)
}

mkdirSync(DIST, { recursive: true })
const unwritten = compile()
copyResources()
relocate()
keepDeclarations(unwritten)
console.log(`dist: ${filesOf('.js').length} modules`)
