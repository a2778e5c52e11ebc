/** ONNX's Attention (opsets 23 to 25) as `POST /v1/attention`. */
import type { FileTensor } from '../../service/safetensors-file.ts'
import type { OnnxCase, Tensors } from '../onnx-cases.ts'
import { headsApart, headsTogether, middleAxesSwapped, paddedKeys } from '../tensors.ts'
import { endpointAt, inTypeOf, numberOf, type Read, type Reading } from './reading.ts'

/** onnx.TensorProto.DOUBLE */
const DOUBLE = 11

/** What each `qk_matmul_output_mode` is called here: the product, behind softcap, behind biases and masks, behind softmax. */
const MODES = ['scores', 'softcapped_scores', 'masked_scores', 'weights']

export const attention: Reading = {
  operator: 'Attention',
  how: '`POST /v1/attention`',
  read(of) {
    const score = scoresOf(of)
    const returned = {
      Y: 'output',
      present_key: 'present_k',
      present_value: 'present_v',
      qk_matmul_output: score,
    }
    const names = Object.keys(of.outputs) as (keyof typeof returned)[]
    const fields = {
      ...layoutOf(of),
      ...scaleOf(of),
      ...softcapOf(of),
      ...causalOf(of),
      ...windowOf(of),
      ...softmaxPrecisionOf(of),
      ...inTypeOf(of.inputs.Q),
      return: [...new Set(names.map(name => returned[name]))],
    }
    return {
      endpoint: endpointAt('/v1/attention'),
      tensors: {
        ...headsOf(of),
        ...pastOf(of),
        ...maskOf(of),
        ...lengthsOf(of),
      },
      fields,
      outputs: outputsOf(of, returned),
    }
  },
}

const isRank3 = ({ inputs }: OnnxCase) => inputs.Q.shape.length === 3

/** Inputs of rank 3 are [B, N, H·d]: the heads of a position follow each other, which is our layout bnhd. */
function layoutOf(of: OnnxCase) {
  return isRank3(of) ? { layout: 'bnhd' } : {}
}

/** Heads are an axis of their own; inputs of rank 3 say by attributes how many there are. */
function headsOf(of: OnnxCase): Tensors {
  const { Q: q, K: k, V: v } = of.inputs
  if (!isRank3(of)) return { q, k, v }
  const [heads, kvHeads] = [numberOf(of, 'q_num_heads', 1), numberOf(of, 'kv_num_heads', 1)]
  return { q: headsApart(q, heads), k: headsApart(k, kvHeads), v: headsApart(v, kvHeads) }
}

/** ONNX scales q and k by √scale each, before the product; ours is the factor of the product. */
function scaleOf({ attributes: { scale } }: OnnxCase) {
  return scale === undefined ? {} : { scale }
}

/** 0 is ONNX's way to say none. */
function softcapOf(of: OnnxCase) {
  const softcap = numberOf(of, 'softcap', 0)
  return softcap === 0 ? {} : { softcap }
}

/**
 * ONNX counts a row's place from the keys before this block of queries: the past's length, or with a cache that is kept
 * outside nonpad_kv_seqlen − N for each batch element, which is our bottom_right; with neither 0. Our top_left begins at
 * the past's length too, so that it is the right one of both other cases.
 */
function cornerOf({ inputs }: OnnxCase): 'top_left' | 'bottom_right' {
  return inputs.nonpad_kv_seqlen === undefined ? 'top_left' : 'bottom_right'
}

function causalOf(of: OnnxCase) {
  return numberOf(of, 'is_causal', 0) === 0 ? {} : { causal: cornerOf(of) }
}

/** −1 leaves a side open. A window counts from the same place as causal, also without it. */
function windowOf(of: OnnxCase) {
  const side = (name: string) => {
    const size = numberOf(of, name, -1)
    return size === -1 ? null : size
  }
  const [left, right] = [side('left_window_size'), side('right_window_size')]
  return left === null && right === null ? {} : { window: { left, right, align: cornerOf(of) } }
}

/** Softmax in float64 is what our reference kernels have; float32, float16 and bfloat16 are met by those of float32. */
function softmaxPrecisionOf(of: OnnxCase) {
  return numberOf(of, 'softmax_precision', 0) === DOUBLE ? { precision: 'float64' } : {}
}

/** Keys and values of a past are [B, H, P, d] beside inputs of rank 3 as well; ours have the layout of q, k and v. */
function pastOf(of: OnnxCase): Tensors {
  const { past_key, past_value } = of.inputs
  if (past_key === undefined) return {}
  if (!isRank3(of)) return { past_k: past_key, past_v: past_value }
  return { past_k: middleAxesSwapped(past_key), past_v: middleAxesSwapped(past_value) }
}

/** A mask may be shorter than the keys; the rest of them is forbidden. */
function maskOf({ inputs }: OnnxCase): Tensors {
  const { K, attn_mask, past_key } = inputs
  if (attn_mask === undefined) return {}
  const keys = K.shape.at(-2) as number
  return { mask: paddedKeys(attn_mask, keys + (past_key?.shape[2] ?? 0)) }
}

/** How many keys are no padding, by batch element: our kv_lengths. */
function lengthsOf({ inputs: { nonpad_kv_seqlen } }: OnnxCase): Tensors {
  return nonpad_kv_seqlen === undefined ? {} : { kv_lengths: nonpad_kv_seqlen }
}

/** What the fourth output is. */
function scoresOf(of: OnnxCase): string {
  return MODES[numberOf(of, 'qk_matmul_output_mode', 0)]
}

function outputsOf(of: OnnxCase, returned: Record<string, string>): Read['outputs'] {
  const asOnnx: Record<string, (x: FileTensor) => FileTensor> = isRank3(of)
    ? { Y: headsTogether, present_key: middleAxesSwapped, present_value: middleAxesSwapped }
    : {}
  return Object.fromEntries(
    Object.entries(returned).map(([name, ours]) => {
      const put = asOnnx[name] ?? ((x: FileTensor) => x)
      return [name, (answer: Tensors) => put(answer[ours])]
    }),
  )
}
