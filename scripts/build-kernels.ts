/**
 * Builds every variant of the SIMD kernels: `node scripts/build-kernels.ts`. Does nothing when neither the sources, the
 * options nor the compiler have changed since the last time.
 */
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import asc from 'assemblyscript/asc'
import { moduleFile, SIMD_VARIANTS, type SimdVariant } from '../workers/kernels/simd/variants.ts'

const ASSEMBLY = new URL('../workers/kernels/simd/assembly/', import.meta.url)
const STAMP = new URL('../workers/kernels/simd/build/stamp.txt', import.meta.url)
const VARIANTS = Object.keys(SIMD_VARIANTS) as SimdVariant[]

/** The module imports its memory, shared and as large as a 32-bit memory can be, and has no data of its own. */
const COMMON = [
  ...['index.ts', '--runtime', 'stub', '-O3', '--noAssert'],
  ...[
    '--importMemory',
    '--noExportMemory',
    '--sharedMemory',
    '--initialMemory',
    '1',
    '--maximumMemory',
    '65536',
  ],
  ...['--enable', 'threads', '--enable', 'simd'],
]

function options(variant: SimdVariant): string[] {
  const { wide, relaxed } = SIMD_VARIANTS[variant]
  return [...COMMON, '--use', `WIDE=${wide}`, ...(relaxed ? ['--enable', 'relaxed-simd'] : [])]
}

function readSources(): Map<string, string> {
  const names = readdirSync(ASSEMBLY).filter(name => name.endsWith('.ts'))
  return new Map(names.sort().map(name => [name, readFileSync(new URL(name, ASSEMBLY), 'utf8')]))
}

function stampOf(sources: Map<string, string>): string {
  const everything = [asc.version, VARIANTS.map(options), [...sources]]
  return createHash('sha256').update(JSON.stringify(everything)).digest('hex')
}

async function compile(variant: SimdVariant, sources: Map<string, string>): Promise<void> {
  const { error, stdout, stderr } = await asc.main([...options(variant), '--outFile', 'out.wasm'], {
    readFile: name => sources.get(name) ?? null,
    writeFile: (_, contents) => replaceFile(moduleFile(variant), contents),
    listFiles: () => [],
  })
  const messages = `${stdout}${stderr}`.trim()
  if (error !== null) throw new Error(`${variant}: ${error.message}\n${messages}`)
  if (messages !== '') console.log(messages)
}

/** All at once, so that nobody reads half a module while several builds run side by side. */
function replaceFile(file: URL, contents: string | Uint8Array): void {
  const part = `${fileURLToPath(file)}.${process.pid}`
  writeFileSync(part, contents)
  renameSync(part, file)
}

const sources = readSources()
const stamp = stampOf(sources)
const built = VARIANTS.every(variant => existsSync(moduleFile(variant)))
if (built && existsSync(STAMP) && readFileSync(STAMP, 'utf8') === stamp) {
  console.log('kernels: up to date')
} else {
  const begin = performance.now()
  mkdirSync(new URL('.', STAMP), { recursive: true })
  try {
    for (const variant of VARIANTS) await compile(variant, sources)
    replaceFile(STAMP, stamp)
    console.log(
      `kernels: built ${VARIANTS.join(', ')} in ${((performance.now() - begin) / 1000).toFixed(1)} s`,
    )
  } catch (error) {
    console.log(`kernels: ${error instanceof Error ? error.message : error}`)
    process.exitCode = 1
  }
}
