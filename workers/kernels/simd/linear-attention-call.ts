/**
 * How a call of linear attention crosses into WebAssembly: like an attention call (`call.ts`), with fields of its own, in
 * the order of `LinearCall` in `assembly/linear-attention-call.ts` (a test compares the two).
 */
import { LINEAR_CHUNK, type LinearAttentionArgs, type LinearStateArgs } from '../../linear-attention-args.ts'
import { KEY_BLOCK, QUERY_TILE } from '../../task.ts'
import { TILE_ROW } from './scratch.ts'

const TENSORS = [
  ...(['q', 'k', 'v', 'output', 'normaliser', 'gradOutput', 'scaled', 'gradNormaliser', 'sums'] as const),
  ...(['gradQ', 'gradK', 'gradV', 'x', 'y', 'w', 'states', 'intervals'] as const),
]
const NUMBERS = [
  ...(['batch', 'heads', 'kvHeads', 'queries', 'keys', 'dimK', 'dimV'] as const),
  ...(['intervalBatch', 'causal', 'careful', 'queriesSide'] as const),
]

/** Columns of the widest variant's register tile, its rows, and how far a product may read past a row. */
const PANEL = 16
const GROUP = 6
const CALL_BYTES = 256
const ALIGN = 64

/** The areas' sizes in elements of 4 bytes, in the call's order (`assembly/linear-attention-call.ts` says what they are). */
function areas({ dimK, dimV }: Pick<LinearAttentionArgs, 'dimK' | 'dimV'>) {
  const extended = dimV + 1
  const deepest = Math.max(dimK, extended)
  return {
    features: LINEAR_CHUNK * dimK + GROUP,
    otherFeatures: LINEAR_CHUNK * dimK,
    extended: LINEAR_CHUNK * extended,
    otherExtended: LINEAR_CHUNK * extended,
    stateTransposed: extended * dimK,
    featurePack: LINEAR_CHUNK * dimK,
    extendedPack: LINEAR_CHUNK * extended,
    columnPack: KEY_BLOCK * deepest,
    stateEdge: deepest * PANEL,
    blockEdge: LINEAR_CHUNK * PANEL,
    tile: QUERY_TILE * TILE_ROW,
    counts: LINEAR_CHUNK,
    rowFrom: LINEAR_CHUNK,
    rowTo: LINEAR_CHUNK,
    rowSums: LINEAR_CHUNK,
    ranges: (QUERY_TILE / GROUP) * 2,
    spare: GROUP * PANEL,
  }
}

/** Every field in order; a test holds it against the kernels’ own list. */
export const LINEAR_CALL_FIELDS: readonly string[] = [
  ...TENSORS,
  ...NUMBERS,
  'one',
  ...Object.keys(areas({ dimK: 1, dimV: 1 })),
]

/** Bytes of scratch memory that one task in flight needs. */
export function linearScratchBytes(dims: Pick<LinearAttentionArgs, 'dimK' | 'dimV'>): number {
  return Object.values(areas(dims)).reduce((sum, elements) => sum + aligned(elements), CALL_BYTES)
}

function aligned(elements: number): number {
  return Math.ceil((elements * 4) / ALIGN) * ALIGN
}

/** Any of these kernels' tensors. */
export type LinearTensors = Partial<Record<(typeof TENSORS)[number], { byteOffset: number }>>

/** Writes the call at `scratch`. */
export function writeLinearCall(
  memory: WebAssembly.Memory,
  scratch: number,
  tensors: LinearTensors,
  a: LinearAttentionArgs & Partial<LinearStateArgs>,
): void {
  const numbers: Record<(typeof NUMBERS)[number], number> = {
    ...a,
    intervalBatch: a.intervalStrides[0],
    causal: Number(a.causal),
    careful: Number(a.careful),
    queriesSide: Number(a.side === 'queries'),
  }
  const words = new DataView(memory.buffer, scratch, CALL_BYTES)
  let at = 0
  const write = (value: number) => {
    words.setUint32(at, value, true)
    at += 4
  }
  for (const name of TENSORS) write(tensors[name]?.byteOffset ?? 0)
  for (const name of NUMBERS) write(numbers[name])
  words.setFloat32(at, 1, true)
  at += 4
  let next = scratch + CALL_BYTES
  for (const elements of Object.values(areas(a))) {
    write(next)
    next += aligned(elements)
  }
}
