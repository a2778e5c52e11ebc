/** Runs attention's kernels over a whole range of units of a case, or over random cuts of it. */
import { attention } from '../../workers/ops/attention/index.ts'
import {
  attentionBackward,
  attentionForward,
  attentionMaskGradient,
  type MaskGradientArgs,
} from '../../workers/ops/attention/op.ts'
import { scratchBytes } from '../../workers/ops/define-op.ts'
import type { SimdVariant } from '../../workers/wasm/variants.ts'
import type { AttentionCase } from './attention-case.ts'
import { type FamilyKernels, plainKernels, wasmKernels } from './family-kernels.ts'
import { ranges } from './ranges.ts'

export type AttentionKernels = FamilyKernels<typeof attention.ops>

export const referenceKernels: AttentionKernels = plainKernels(attention)

export function simdKernels(memory: WebAssembly.Memory, variant: SimdVariant): AttentionKernels {
  return wasmKernels(attention, memory, variant)
}

/** Bytes of the work area that the case's kernels need. */
export function caseScratch({ args }: AttentionCase): number {
  return scratchBytes(attentionForward, args)
}

export const MAPS = ['scores', 'maskedScores', 'weights', 'droppedWeights'] as const
export type MapName = (typeof MAPS)[number]

export interface RunOptions {
  /** seed: run the range in random pieces and, where units are independent, in random order; without it in one call */
  cuts?: number
  /** byte offset of the kernels' work area */
  scratch?: number
  /** which maps to write */
  maps?: readonly MapName[]
}

/** The case without the maps that are not wanted. */
function withMaps(c: AttentionCase, maps: readonly MapName[]): AttentionCase {
  const others = MAPS.filter(name => !maps.includes(name)).map(name => [name, undefined])
  return { ...c, ...Object.fromEntries(others) }
}

/** Writes output, denominator, logsumexp, entropy, and maps: by default none. */
export function runForward(kernels: AttentionKernels, c: AttentionCase, options: RunOptions = {}): void {
  const tensors = withMaps(c, options.maps ?? [])
  for (const [from, to] of ranges(attentionForward.units(c.args), 1, options.cuts)) {
    kernels.attentionForward(tensors, c.args, from, to, options.scratch ?? 0)
  }
}

/** Writes maps, by default all of them; reads denominator. */
export function runMaps(kernels: AttentionKernels, c: AttentionCase, options: RunOptions = {}): void {
  const tensors = withMaps(c, options.maps ?? MAPS)
  for (const [from, to] of ranges(attentionForward.units(c.args), 1, options.cuts)) {
    kernels.attentionMaps(tensors, c.args, from, to, options.scratch ?? 0)
  }
}

/** Writes delta, gradQ (the sum of its parts), gradK, gradV; reads output, denominator, entropy. */
export function runBackward(kernels: AttentionKernels, c: AttentionCase, options: RunOptions = {}): void {
  const units = attentionBackward.units(c.args)
  const chain = attentionBackward.chain?.(c.args) ?? 1
  for (const [from, to] of ranges(units, chain, options.cuts)) {
    kernels.attentionBackward(c, c.args, from, to, options.scratch ?? 0)
  }
  if (!c.args.apart) return
  for (let at = 0; at < c.gradQParts.length; at++) c.gradQ[at % c.gradQ.length] += c.gradQParts[at]
}

/** Writes gradMask (the case must have a float mask); reads output, denominator, entropy. */
export function runMaskGradient(kernels: AttentionKernels, c: AttentionCase, options: RunOptions = {}): void {
  if (c.gradMask === undefined) throw new Error('this case has no float mask')
  const args: MaskGradientArgs = { ...c.args, maskShape: c.maskShape }
  for (const [from, to] of ranges(attentionMaskGradient.units(args), 1, options.cuts)) {
    kernels.attentionMaskGradient({ ...c, gradMask: c.gradMask }, args, from, to, options.scratch ?? 0)
  }
}
