/**
 * Builds the WebAssembly modules, every variant of the SIMD kernels and the text kernels: `node scripts/build-kernels.ts`.
 * Does nothing when neither the sources, the options nor the compiler have changed since the last time.
 */
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import asc from 'assemblyscript/asc'
import * as layout from '../workers/layout.ts'
import { OPS } from '../workers/ops/index.ts'
import { TEXT_MODULE } from '../workers/text/text-kernels.ts'
import { wasmOps } from '../workers/wasm/call-layout.ts'
import { moduleFile, SIMD_VARIANTS, type SimdVariant } from '../workers/wasm/variants.ts'
import { callSource, entrySource, GENERATED, layoutSource } from './generate-calls.ts'

/** A module imports its memory, shared and as large as a 32-bit memory can be. */
const COMMON = [
  ...['--runtime', 'stub', '-O3', '--noAssert'],
  ...['--importMemory', '--noExportMemory', '--sharedMemory'],
  ...['--initialMemory', '1', '--maximumMemory', '65536'],
  ...['--enable', 'threads', '--enable', 'simd'],
]

const WORKERS = new URL('../workers/', import.meta.url)

/** By path, with `/` between folders. */
type Sources = Map<string, string>

interface Module {
  name: string
  file: URL
  sources: Sources
  options: string[]
}

function modules(): Module[] {
  const all = readSources(WORKERS)
  const simd: Sources = new Map([...all, ...generate(all)])
  const text = readSources(new URL('text/assembly/', WORKERS))
  const constants = ['--memoryBase', String(layout.CONSTANTS_AT)]
  const variants = (Object.keys(SIMD_VARIANTS) as SimdVariant[]).map(name => {
    const { wide, relaxed } = SIMD_VARIANTS[name]
    const own = ['--use', `WIDE=${wide}`, ...(relaxed ? ['--enable', 'relaxed-simd'] : [])]
    const options = [`${GENERATED}/index.ts`, ...COMMON, ...constants, ...own]
    return { name, file: moduleFile(name), sources: simd, options }
  })
  return [...variants, { name: 'text', file: TEXT_MODULE, sources: text, options: ['index.ts', ...COMMON] }]
}

/** AssemblyScript stands in folders of these names, and in `text/assembly/`, which is a module of its own. */
function readSources(folder: URL): Sources {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' }).map(name =>
    name.replaceAll('\\', '/'),
  )
  const sources = folder === WORKERS ? names.filter(isSimdSource) : names.filter(name => name.endsWith('.ts'))
  return new Map(sources.sort().map(name => [name, readFileSync(new URL(name, folder), 'utf8')]))
}

function isSimdSource(name: string): boolean {
  return /^(ops\/[^/]+\/simd|wasm\/assembly)\/[^/]+\.ts$/.test(name)
}

/** A call class a family, and the module's exports; written beside the other sources so that they can be read there. */
function generate(sources: Sources): Sources {
  const files: Sources = new Map()
  for (const { family, constants } of OPS) {
    if (wasmOps(family).length > 0) files.set(`${GENERATED}/${family.name}.ts`, callSource(family, constants))
  }
  files.set(`${GENERATED}/layout.ts`, layoutSource(Object.entries(layout)))
  const families = OPS.map(({ family }) => family)
  files.set(`${GENERATED}/index.ts`, entrySource(families, sources))
  for (const [name, text] of files) writeChanged(new URL(name, WORKERS), text)
  return files
}

function writeChanged(file: URL, text: string): void {
  if (existsSync(file) && readFileSync(file, 'utf8') === text) return
  mkdirSync(new URL('.', file), { recursive: true })
  replaceFile(file, text)
}

function stampOf({ options, sources }: Module): string {
  return createHash('sha256')
    .update(JSON.stringify([asc.version, options, [...sources]]))
    .digest('hex')
}

function stampFile({ file }: Module): URL {
  return new URL(`${file.href}.stamp`)
}

function isBuilt(module: Module): boolean {
  const stamp = stampFile(module)
  return existsSync(module.file) && existsSync(stamp) && readFileSync(stamp, 'utf8') === stampOf(module)
}

async function build(module: Module): Promise<void> {
  const { name, file, sources, options } = module
  mkdirSync(new URL('.', file), { recursive: true })
  const { error, stdout, stderr } = await asc.main([...options, '--outFile', 'out.wasm'], {
    readFile: name => sources.get(name) ?? null,
    writeFile: (_, contents) => replaceFile(file, contents),
    listFiles: () => [],
  })
  const messages = `${stdout}${stderr}`.trim()
  if (error !== null) throw new Error(`${name}: ${error.message}\n${messages}`)
  if (messages !== '') console.log(messages)
  replaceFile(stampFile(module), stampOf(module))
}

/** All at once, so that nobody reads half a module while several builds run side by side. */
function replaceFile(file: URL, contents: string | Uint8Array): void {
  const part = `${fileURLToPath(file)}.${process.pid}`
  writeFileSync(part, contents)
  renameSync(part, file)
}

const stale = modules().filter(module => !isBuilt(module))
if (stale.length === 0) {
  console.log('kernels: up to date')
} else {
  const begin = performance.now()
  try {
    for (const module of stale) await build(module)
    const names = stale.map(({ name }) => name).join(', ')
    console.log(`kernels: built ${names} in ${((performance.now() - begin) / 1000).toFixed(1)} s`)
  } catch (error) {
    console.log(`kernels: ${error instanceof Error ? error.message : error}`)
    process.exitCode = 1
  }
}
