/** Problems for attentionJvp: any attention, sinks in its denominators now and then, and any of the tangents. */
import { type AttentionCase, buildCase } from '../../../test/support/attention-case.ts'
import type { AttentionSpec } from '../../../test/support/attention-spec.ts'
import { uniformNumbers } from '../../../test/support/numbers.ts'
import { given, type Inputs, type OpCase, randomTensors } from '../../../test/support/op-case.ts'
import { truthOf } from '../../../test/support/op-runner.ts'
import { applySinks } from '../sinks/kernel.ts'
import { type AttentionArgs, attentionForward, attentionJvp } from './op.ts'

/** Ids in any order, as `segments` of a request may be. */
function segmentsOf({ batch, queries, keys }: AttentionCase['args'], seed: number): Inputs {
  const uniform = uniformNumbers(seed)
  const ids = (length: number) => Int32Array.from({ length }, () => Math.floor(4 * uniform()) - 1)
  const mixedSegments = new Int32Array(batch).fill(1)
  return { qSegments: ids(batch * queries), kvSegments: ids(batch * keys), mixedSegments }
}

/** `wanted`: the tangents of output, weights and logsumexp, and those that are given of q, k, v. */
export function jvpCase(spec: AttentionSpec, wanted: readonly boolean[]): OpCase {
  const c = buildCase(spec)
  const { args } = c
  const { batch, heads, queries, keys, dimV } = args
  const rows = batch * heads * queries
  const random = randomTensors(spec.seed)
  const inputs = given({
    q: c.q,
    k: c.k,
    v: c.v,
    mask: c.mask,
    slopes: c.slopes,
    intervals: c.intervals,
    shifts: c.shifts,
    ...(spec.seed % 3 === 0 && segmentsOf(args, spec.seed)),
    sinks: spec.seed % 2 === 0 && random(heads),
  }) as Inputs
  const forward = truthOf(forwardCase(args, inputs))
  inputs.denominator = withSinks(args, inputs, forward.denominator)
  const [, , , ofQ, ofK, ofV] = wanted
  Object.assign(
    inputs,
    given({
      tangentQ: ofQ && random(c.q.length),
      tangentK: ofK && random(c.k.length),
      tangentV: ofV && random(c.v.length),
      tangentMask: args.maskKind === 'float' && random(c.mask?.length ?? 0),
      tangentSinks: inputs.sinks && random(heads),
    }),
  )
  const all = { tangentOutput: rows * dimV, tangentWeights: rows * keys, tangentLogsumexp: rows }
  const some = Object.entries(all).filter((_, index) => wanted[index])
  const outputs = Object.fromEntries(some.length > 0 ? some : Object.entries(all))
  return { op: attentionJvp, args, inputs, outputs, hidden: behindMask(inputs) }
}

/** The forward pass over the same scores. */
export function forwardCase(args: AttentionArgs, inputs: Inputs): OpCase {
  const { batch, heads, queries, dimV } = args
  const rows = batch * heads * queries
  const outputs = { output: rows * dimV, denominator: 2 * rows, logsumexp: rows }
  const known = Object.entries(inputs).filter(
    ([name]) => name in attentionForward.tensors && !(name in outputs),
  )
  return { op: attentionForward, args, inputs: Object.fromEntries(known), outputs }
}

/** The denominator with the sinks in it, where there are some. */
export function withSinks(args: AttentionArgs, { sinks }: Inputs, denominator: Float64Array): Float64Array {
  if (sinks === undefined) return denominator
  const { heads, queries, keys } = args
  const rows = denominator.length / 2
  const sunkDenominator = new Float64Array(2 * rows)
  const others = {
    output: new Float64Array(0),
    sunkOutput: new Float64Array(0),
    sunkLogsumexp: new Float64Array(rows),
  }
  const tensors = { sinks: sinks as Float64Array, denominator, sunkDenominator, ...others }
  applySinks(tensors, { heads, rows, queries, keys, dimV: 0 }, 0, rows)
  return sunkDenominator
}

/** A mask's tangent is of no account where the mask is −∞. */
function behindMask(inputs: Inputs): Inputs {
  const { mask, tangentMask } = inputs
  if (tangentMask === undefined) return inputs
  const hidden = tangentMask.map((value, at) => (mask[at] === Number.NEGATIVE_INFINITY ? Number.NaN : value))
  return { ...inputs, tangentMask: hidden as Float64Array }
}
