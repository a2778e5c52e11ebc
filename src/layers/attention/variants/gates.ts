/** `attention_kind.gates`: what keys have beside themselves and their values, in the shapes of ONNX's LinearAttention. */
import * as z from 'zod'
import type { TensorSource } from '../../../formats/tensor.ts'
import type { TensorKinds } from '../../../formats/tensor-fields.ts'
import { fieldProblem, fieldsProblem } from '../../../problem.ts'
import { expectShape, type Geometry, wrong } from '../../geometry.ts'
import type { RequestProgram } from '../../program-builder.ts'
import type { GatedKind, Gates, SequencePointers } from './variant.ts'

const AT = '/attention_kind/gates'

/** The gates of each kind. */
const GATES = {
  gated: ['decay'],
  delta: ['beta'],
  gated_delta: ['decay', 'beta'],
} as const

export function gatesField(tensors: TensorKinds, kind: keyof typeof GATES) {
  const decay = tensors.values
    .optional()
    .describe(
      '[B, N, H_kv·d_k], or [B, N, H_kv] for all of a head’s dimensions: logarithm of the factor that the state is multiplied with ' +
        'before a key, along d_k (ONNX’s shapes, heads last; without B where the request has no batch)',
    )
  const beta = tensors.values
    .optional()
    .describe('[B, N, H_kv], or [B, N, 1] for all heads: the rate β with which a key’s value is written')
  const named: readonly string[] = GATES[kind]
  return z
    .strictObject({ decay, beta })
    .optional()
    .describe(`needed: ${named.join(' and ')}; in a stack they are the same for all layers`)
}

/** Reads them; they belong to the keys, of which there are as many as queries. */
export function readGates(
  p: RequestProgram,
  kind: keyof typeof GATES,
  given: GatedKind,
  g: Geometry,
  at: SequencePointers,
): Gates {
  refuseGates(kind, given)
  if (g.keys !== g.queries) {
    const message = `expected as many keys as queries beside "attention_kind":"${kind}", got ${g.keys} and ${g.queries}`
    throw fieldsProblem('SHAPE_MISMATCH', [
      { path: at.keys, message },
      { path: at.queries, message },
    ])
  }
  const { decay, beta } = given.gates ?? {}
  return {
    decay: decay && p.input(`${AT}/decay`, decay),
    decayDims: decay === undefined ? 0 : lastExtent('decay', decay, g, [1, g.dimK]) / g.kvHeads,
    beta: beta && p.input(`${AT}/beta`, beta),
    betaHeads: beta === undefined ? 0 : lastExtent('beta', beta, g, [1]),
  }
}

function refuseGates(kind: keyof typeof GATES, { gates, named }: GatedKind): void {
  const needed: readonly string[] = GATES[kind]
  for (const name of ['decay', 'beta'] as const) {
    const given = gates?.[name] !== undefined
    if (given === needed.includes(name)) continue
    const beside = `beside "attention_kind":"${kind}"`
    if (!given) {
      // where it should stand, or the nearest there is
      const place = named ? '/attention_kind' : gates === undefined ? AT : `${AT}/${name}`
      throw fieldProblem('INVALID_REQUEST', place, `expected gates.${name} ${beside}, got none`)
    }
    const message = `expected no ${name} ${beside}, got one`
    throw fieldsProblem('INVALID_REQUEST', [
      { path: `${AT}/${name}`, message },
      { path: '/attention_kind/kind', message },
    ])
  }
}

/** [B, N, one of the extents]; `perHead`: how many a head. */
function lastExtent(name: 'decay' | 'beta', source: TensorSource, g: Geometry, perHead: number[]): number {
  const pointer = `${AT}/${name}`
  const before = g.batched ? [g.batch, g.keys] : [g.keys]
  const allowed = perHead.map(count => count * g.kvHeads)
  if (name === 'beta') allowed.push(1)
  const last = source.shape.at(-1) ?? 0
  if (allowed.includes(last)) {
    expectShape(pointer, source, [...before, last])
    return last
  }
  const shapes = [...new Set(allowed)].map(extent => `[${[...before, extent].join(', ')}]`)
  return wrong(pointer, source, `expected ${shapes.join(' or ')}`)
}
