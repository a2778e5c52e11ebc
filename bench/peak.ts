/**
 * What one core can do at most through WebAssembly: twelve independent chains of fused multiply-adds on eight lanes each, nothing
 * else. That is the silicon's own peak wherever V8 fuses pairs of registers, half of it elsewhere.
 */
import asc from 'assemblyscript/asc'
import { bestSeconds } from './timing.ts'

const CHAINS = Array.from({ length: 24 }, (_, index) => index)
/** Short, so that V8 soon replaces its quick first compilation by the optimised one. */
const TURNS = 20_000
const ADDRESS = 1024

/** Even chains multiply the lower half of a pair, odd ones the upper: V8 fuses them from their stores on. */
const SOURCE = `
export function run(at: usize, turns: i32): void {
  const x0 = v128.load(at), x1 = v128.load(at, 16), y0 = v128.load(at, 32), y1 = v128.load(at, 48)
  ${CHAINS.map(i => `let c${i} = f32x4.splat(${i})`).join('\n  ')}
  do {
    ${CHAINS.map(i => `c${i} = f32x4.relaxed_madd(x${i % 2}, y${i % 2}, c${i})`).join('\n    ')}
  } while (--turns)
  ${CHAINS.map(i => i ^ 1)
    .map(i => `v128.store(at, c${i}, ${64 + 16 * i})`)
    .join('\n  ')}
}`

/** GFLOP/s of one core. */
export async function peakGigaflops(): Promise<number> {
  let binary: Uint8Array | undefined
  const { error, stderr } = await asc.main(
    [
      ...['index.ts', '--runtime', 'stub', '-O3', '--outFile', 'out.wasm', '--initialMemory', '1'],
      ...['--enable', 'simd', '--enable', 'relaxed-simd'],
    ],
    {
      readFile: name => (name === 'index.ts' ? SOURCE : null),
      writeFile: (_, contents) => {
        binary = contents as Uint8Array
      },
      listFiles: () => [],
    },
  )
  if (error !== null || binary === undefined) throw new Error(`the peak's measurement: ${error}\n${stderr}`)
  const module = new WebAssembly.Module(binary as Uint8Array<ArrayBuffer>)
  const imports = { env: { abort: () => {} } }
  const { run } = new WebAssembly.Instance(module, imports).exports as {
    run: (at: number, turns: number) => void
  }
  // the optimised code comes from a background thread: several looks, the best counts
  const seconds = Array.from({ length: 4 }, () => bestSeconds(() => run(ADDRESS, TURNS)))
  return (CHAINS.length * 4 * 2 * TURNS) / Math.min(...seconds) / 1e9
}
