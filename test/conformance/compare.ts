/**
 * Whether an output is what ONNX expects: within the rule of ONNX's own backend runner, element by element, and within a
 * few units of the last place of the tensor's largest element besides.
 *
 * ONNX's expected outputs are numpy's, every stage rounded to the type of the inputs; ours are rounded to it once. Two
 * evaluations in float32 may be a few units apart; in float16 and bfloat16 the expected one is up to a unit from the truth.
 */
import { fromBfloat16, fromFloat16 } from '../../workers/text/float16.ts'
import type { FileTensor } from '../service/safetensors-file.ts'

interface Rule {
  /** of ONNX's runner (onnx/backend/test/runner) */
  relative: number
  /** of the largest element */
  ofLargest: number
}

const ABSOLUTE = 1e-7
const RULES: Record<string, Rule> = {
  F64: { relative: 1e-3, ofLargest: 8 * 2 ** -23 },
  F32: { relative: 1e-3, ofLargest: 8 * 2 ** -23 },
  F16: { relative: 1e-3, ofLargest: 2 ** -10 },
  BF16: { relative: 2 ** -6, ofLargest: 2 ** -7 },
}

/** What is wrong with it, if anything. */
export function faultOf(got: FileTensor, want: FileTensor): string | undefined {
  const [is, expected] = [got, want].map(({ dtype, shape }) => `${dtype} [${shape.join(', ')}]`)
  if (is !== expected) return `expected ${expected}, got ${is}`
  const { relative, ofLargest } = RULES[want.dtype]
  const [found, right] = [numbersOf(got), numbersOf(want)]
  const largest = right.reduce((most, x) => (Number.isFinite(x) ? Math.max(most, Math.abs(x)) : most), 0)
  for (const [index, x] of right.entries()) {
    if (Object.is(found[index], x) || found[index] === x) continue
    const allowed = Math.min(ABSOLUTE + relative * Math.abs(x), ofLargest * largest)
    if (Number.isFinite(x) && Math.abs(found[index] - x) <= allowed) continue
    return `at index ${index}: expected ${x} ± ${allowed}, got ${found[index]}`
  }
  return undefined
}

export function numbersOf({ dtype, data }: FileTensor): number[] {
  const { buffer } = Uint8Array.from(data)
  if (dtype === 'F64') return Array.from(new Float64Array(buffer))
  if (dtype === 'F32') return Array.from(new Float32Array(buffer))
  if (dtype === 'F16') return Array.from(new Uint16Array(buffer), fromFloat16)
  if (dtype === 'BF16') return Array.from(new Uint16Array(buffer), fromBfloat16)
  throw new Error(`no numbers in ${dtype}`)
}
