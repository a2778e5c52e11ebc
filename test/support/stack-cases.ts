/** Stacks drawn at random, with every parameter they have. */
import * as fc from 'fast-check'
import type { drawer, Flat } from './layer-cases.ts'

export const D_MODEL = 8
export const HEADS = 2

export const stacks = fc.record({
  layers: fc.integer({ min: 1, max: 3 }),
  kvHeads: fc.constantFrom(1, HEADS),
  /** the default is D_MODEL/HEADS = 4 */
  headDim: fc.constantFrom(undefined, undefined, 2, 6),
  norm: fc.constantFrom('pre', 'post', 'sandwich'),
  norm_kind: fc.constantFrom('layer', 'rms'),
  activation: fc.constantFrom(
    'relu',
    'gelu',
    'gelu_tanh',
    'silu',
    'quick_gelu',
    'swiglu',
    'geglu',
    'geglu_tanh',
  ),
  position: fc.constantFrom(undefined, 'sinusoidal', 'rope', 'alibi'),
  bias: fc.boolean(),
  finalNorm: fc.boolean(),
  /** of queries and keys */
  gains: fc.boolean(),
  sinks: fc.boolean(),
  /** a table among the parameters */
  relativeBias: fc.boolean(),
  /** of the context, for cross-attention */
  dContext: fc.constantFrom<(number | undefined)[]>(undefined, undefined, 5),
})
export type StackSpec = typeof stacks extends fc.Arbitrary<infer T> ? T : never

/** The field `stack`. */
export function stackOf(s: StackSpec, draw: ReturnType<typeof drawer>): Record<string, unknown> {
  const { layers, kvHeads: kv_heads, headDim: head_dim, norm, norm_kind, activation, position } = s
  const fields = { layers, heads: HEADS, kv_heads, head_dim, norm, norm_kind, activation, position }
  return { ...fields, norm_eps: 1e-2, params: stackParams(s, draw) }
}

function stackParams(s: StackSpec, draw: ReturnType<typeof drawer>): Record<string, Flat> {
  const params: Record<string, Flat> = {}
  const add = (name: string, ...shape: number[]) => {
    params[name] = draw(...shape)
  }
  const norm = (name: string) => {
    add(`${name}.gamma`, D_MODEL)
    if (s.norm_kind === 'layer') add(`${name}.beta`, D_MODEL)
  }
  const headDim = s.headDim ?? D_MODEL / HEADS
  const [q, kv, dFf] = [HEADS * headDim, s.kvHeads * headDim, 5]
  const attention = (name: string, dSource: number) => {
    add(`${name}.w_q`, D_MODEL, q)
    add(`${name}.w_k`, dSource, kv)
    add(`${name}.w_v`, dSource, kv)
    add(`${name}.w_o`, q, D_MODEL)
    if (s.gains) {
      add(`${name}.q_norm.gamma`, headDim)
      add(`${name}.k_norm.gamma`, headDim)
    }
    if (s.bias) {
      add(`${name}.b_q`, q)
      add(`${name}.b_v`, kv)
      add(`${name}.b_o`, D_MODEL)
    }
  }
  for (let layer = 0; layer < s.layers; layer++) {
    const at = `layers.${layer}`
    attention(`${at}.attention`, D_MODEL)
    if (s.sinks) add(`${at}.attention.sinks`, HEADS)
    if (s.dContext !== undefined) attention(`${at}.cross_attention`, s.dContext)
    add(`${at}.ffn.w_1`, D_MODEL, dFf)
    add(`${at}.ffn.w_2`, dFf, D_MODEL)
    if (s.activation.endsWith('glu') || s.activation === 'geglu_tanh') add(`${at}.ffn.w_gate`, D_MODEL, dFf)
    if (s.bias) {
      add(`${at}.ffn.b_1`, dFf)
      add(`${at}.ffn.b_2`, D_MODEL)
    }
    const norms = (s.dContext === undefined ? 2 : 3) * (s.norm === 'sandwich' ? 2 : 1)
    for (let index = 1; index <= norms; index++) norm(`${at}.norm${index}`)
  }
  if (s.finalNorm) norm('final_norm')
  if (s.relativeBias) add('relative_bias.table', 8, HEADS)
  return params
}
