/**
 * ONNX's RotaryEmbedding (opset 23). Its caches of cos and sin are any numbers (the cases draw them at random), where our
 * endpoints take frequencies and positions: no request says them. A program of the rotation's step alone does.
 */
import * as z from 'zod'
import type { Compilable } from '../../../src/endpoints/endpoint.ts'
import { tensorKinds } from '../../../src/formats/tensor-fields.ts'
import { rotateForward } from '../../../src/layers/attention/stages/rope.ts'
import { numerics } from '../../../src/layers/numerics.ts'
import type { OnnxCase } from '../onnx-cases.ts'
import { rowsOf } from '../tensors.ts'
import { inTypeOf, numberOf, type Reading } from './reading.ts'

const { values } = tensorKinds(false)
const Rotation = z.strictObject({
  x: values,
  cos: values,
  sin: values,
  rows: z.strictObject({ heads: z.int(), positions: z.int(), dim: z.int() }),
  table: z.strictObject({ batches: z.int(), dims: z.int(), interleaved: z.boolean() }),
  ...numerics,
})

/** y = x [heads, positions, dim], each row turned by its row of cos and sin [batches · positions, dims/2]. */
const rotation: Compilable<z.output<typeof Rotation>> = {
  request: Rotation,
  compile(p, { x, cos, sin, rows, table }) {
    const tables = { ...table, cos: p.input('/cos', cos), sin: p.input('/sin', sin) }
    const { y, step } = rotateForward(p, p.input('/x', x), rows, tables)
    p.stage(step)
    p.output('y', y, x.shape)
  },
}

export const rotaryEmbedding: Reading = {
  operator: 'RotaryEmbedding',
  how: 'the step that rotates queries and keys, in a program of its own: no request takes cos and sin',
  read(of) {
    const { X } = of.inputs
    const { rows, batches } = placesOf(of)
    const dims = numberOf(of, 'rotary_embedding_dim', 0) || rows.dim
    const table = { batches, dims, interleaved: numberOf(of, 'interleaved', 0) === 1 }
    return {
      endpoint: rotation as Compilable,
      tensors: { x: X, ...cachesOf(of) },
      fields: { rows, table, ...inTypeOf(X) },
      outputs: { Y: ({ y }) => y },
    }
  },
}

/** Rows are [B, H, N], and with inputs of rank 3 [B, N, H]: there each position has a set of heads of its own. */
function placesOf(of: OnnxCase) {
  const { shape } = of.inputs.X
  if (shape.length === 4) {
    const [batch, heads, positions, dim] = shape
    return { rows: { heads: batch * heads, positions, dim }, batches: batch }
  }
  const [batch, positions, width] = shape
  const heads = numberOf(of, 'num_heads', 1)
  const batches = batch * positions
  return { rows: { heads: batches * heads, positions: 1, dim: width / heads }, batches }
}

/** With position_ids the caches are tables to look rows up in; without them there is a row for each position. */
function cachesOf({ inputs: { cos_cache, sin_cache, position_ids } }: OnnxCase) {
  if (position_ids === undefined) return { cos: cos_cache, sin: sin_cache }
  return { cos: rowsOf(cos_cache, position_ids), sin: rowsOf(sin_cache, position_ids) }
}
