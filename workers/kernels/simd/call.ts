/**
 * How a call crosses into WebAssembly: as words of four bytes at the beginning of the task's scratch memory, in the
 * order of the fields of `Call` in `assembly/call.ts` (a test compares the two).
 */
import { type AttentionArgs, KEY_BLOCK, type MaskGradientArgs } from '../../task.ts'
import type {
  AttentionBackwardTensors,
  AttentionForwardTensors,
  AttentionMapsTensors,
} from '../kernel-set.ts'
import { type AreaName, packDepth, type ScratchLayout, scratchLayout, tilesTogether } from './scratch.ts'

const TENSORS = [
  ...(['q', 'k', 'v', 'output', 'logsumexp', 'entropy', 'mask', 'slopes'] as const),
  ...(['intervals', 'shifts', 'earlierRanks', 'earlierIntervals'] as const),
  ...(['scores', 'maskedScores', 'weights', 'droppedWeights'] as const),
  ...(['gradOutput', 'delta', 'gradQ', 'gradQParts', 'gradK', 'gradV', 'gradMask'] as const),
]
const NUMBERS = [
  ...(['batch', 'heads', 'kvHeads', 'queries', 'keys', 'dimK', 'dimV'] as const),
  ...([
    'scale',
    'softcap',
    'intervalBatch',
    'intervalHead',
    'shift',
    'maskKind',
    'earlier',
    'parts',
    'partBlocks',
  ] as const),
  ...(['maskStrideBatch', 'maskStrideHead', 'maskStrideQuery', 'maskStrideKey'] as const),
  ...(['maskBatch', 'maskHeads', 'maskQueries', 'maskKeys'] as const),
  ...(['dropout', 'dropThreshold', 'keepScale', 'seedLow', 'seedHigh'] as const),
  ...(['careful', 'entropyCoefficient', 'one', 'depth', 'tilesTogether'] as const),
]
const AREAS: AreaName[] = [
  ...(['queryPack', 'keyPack', 'gradOutputPack', 'valuePack'] as const),
  ...(['keyRows', 'valueRows', 'queryEdge', 'gradOutputEdge'] as const),
  ...([
    'tile',
    'gradTile',
    'tanhTile',
    'attended',
    'spare',
    'rowFrom',
    'rowTo',
    'common',
    'seen',
    'ranges',
    'columnRanges',
  ] as const),
  ...(['runningMax', 'runningSum', 'runningMoment', 'tileMax', 'tileFactor', 'laneMax'] as const),
  ...(['shiftUpper', 'shiftLower', 'tileKeys', 'tileState', 'constants'] as const),
]
/** Those of the numbers that are float32; the others are 32-bit integers. */
const REALS: ReadonlySet<string> = new Set(['scale', 'softcap', 'keepScale', 'entropyCoefficient', 'one'])

/** Every field in order; a test holds it against the kernels’ own list. */
export const CALL_FIELDS: readonly string[] = [...TENSORS, ...NUMBERS, ...AREAS]

type TensorName = (typeof TENSORS)[number]
type Numbers = Record<(typeof NUMBERS)[number], number>
type Places = { [N in TensorName]?: { byteOffset: number } }

/** Any attention kernel's tensors. */
export type AttentionTensors = Partial<
  AttentionForwardTensors & AttentionMapsTensors & AttentionBackwardTensors & { gradMask: object }
>

const MASK_KINDS = { none: 0, bool: 1, float: 2 }

function numbersOf(t: AttentionTensors, a: AttentionArgs & Partial<MaskGradientArgs>): Numbers {
  const [maskStrideBatch, maskStrideHead, maskStrideQuery, maskStrideKey] = a.maskStrides
  const [maskBatch, maskHeads, maskQueries, maskKeys] = a.maskShape ?? [0, 0, 0, 0]
  const { batch, heads, kvHeads, queries, keys, dimK, dimV, scale, softcap, seedLow, seedHigh } = a
  return {
    ...{ batch, heads, kvHeads, queries, keys, dimK, dimV, scale, softcap, seedLow, seedHigh },
    ...{ maskStrideBatch, maskStrideHead, maskStrideQuery, maskStrideKey },
    ...{ maskBatch, maskHeads, maskQueries, maskKeys },
    intervalBatch: a.intervalStrides[0],
    intervalHead: a.intervalStrides[1],
    shift: a.shift,
    maskKind: MASK_KINDS[a.maskKind],
    earlier: a.earlier ?? 0,
    parts: a.parts ?? 1,
    partBlocks: Math.max(1, Math.ceil(Math.ceil(keys / KEY_BLOCK) / (a.parts ?? 1))),
    dropout: Number(a.dropoutP > 0),
    dropThreshold: Math.floor(a.dropoutP * 2 ** 32),
    keepScale: 1 / (1 - a.dropoutP),
    careful: Number(a.careful),
    entropyCoefficient: t.scalars?.[1] ?? 0,
    one: 1,
    depth: packDepth(dimK, dimV),
    tilesTogether: tilesTogether(dimK),
  }
}

/** Writes the call at `scratch` and returns the layout of the scratch memory behind it. */
export function writeCall(
  memory: WebAssembly.Memory,
  scratch: number,
  t: AttentionTensors,
  a: AttentionArgs & Partial<MaskGradientArgs>,
): ScratchLayout {
  const layout = scratchLayout(a.dimK, a.dimV)
  const numbers = numbersOf(t, a)
  const words = new DataView(memory.buffer, scratch, layout.place)
  let at = 0
  for (const name of TENSORS) {
    words.setUint32(at, (t as Places)[name]?.byteOffset ?? 0, true)
    at += 4
  }
  for (const name of NUMBERS) {
    if (REALS.has(name)) words.setFloat32(at, numbers[name], true)
    else words.setUint32(at, numbers[name], true)
    at += 4
  }
  for (const name of AREAS) {
    words.setUint32(at, scratch + layout.areas[name], true)
    at += 4
  }
  return layout
}
