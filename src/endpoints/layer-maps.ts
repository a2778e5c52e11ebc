/** Maps and rows of a layer: of the chosen heads, and as tensors of a frame, with `detail` as thumbnails. */
import type { Ref } from '../../workers/contract.ts'
import { takeHeads } from '../../workers/ops/maps/op.ts'
import { type Geometry, inRank } from '../layers/geometry.ts'
import type { FramePlace, OutputTensor } from '../layers/outputs.ts'
import type { RequestProgram } from '../layers/program-builder.ts'
import { type Detail, thumbnails } from '../layers/thumbnails.ts'

/** The heads that answers and frames hold. */
export interface Chosen {
  geometry: Geometry
  heads: number[]
  /** whether the request has named them; otherwise they are all of the stack's */
  named: boolean
}

export function chosenHeads(heads: number[] | undefined, geometry: Geometry): Chosen {
  const named = heads !== undefined
  return { geometry, heads: heads ?? Array.from({ length: geometry.heads }, (_, head) => head), named }
}

/** The chosen heads of a buffer [batch, heads, width]. */
export function choose(
  p: RequestProgram,
  { geometry, heads: chosen, named }: Chosen,
  buffer: Ref,
  width: number,
): Ref {
  if (!named) return buffer
  const { batch, heads } = geometry
  const y = p.buffer({ type: p.buffers[buffer].type, length: batch * chosen.length * width })
  const args = { batch, heads, chosen, width }
  p.stage(p.step(takeHeads, { x: buffer, y }, args))
  return y
}

/** A number a query: entropies, logsumexp. */
export function rowOutput(p: RequestProgram, chosen: Chosen, name: string, buffer: Ref): OutputTensor {
  const { geometry, heads } = chosen
  const { queries } = geometry
  return {
    name: `tensors.${name}`,
    buffer: choose(p, chosen, buffer, queries),
    shape: inRank({ ...geometry, heads: heads.length }, queries),
  }
}

/** A map, or with `detail` its thumbnails; the map itself is then kept. */
export function mapOutputs(
  p: RequestProgram,
  chosen: Chosen,
  detail: Detail | undefined,
  at: FramePlace,
  tensor: string,
  full: Ref,
): OutputTensor[] {
  const { geometry, heads } = chosen
  const { batched, batch, queries, keys } = geometry
  const inHeads = { ...geometry, heads: heads.length }
  const name = `tensors.${tensor}`
  const buffer = choose(p, chosen, full, queries * keys)
  if (detail === undefined) return [{ name, buffer, shape: inRank(inHeads, queries, keys) }]
  p.keepMap({ ...at, tensor, buffer, batched, batch, heads, queries, keys })
  const maps = {
    buffer,
    maps: batch * heads.length,
    rows: queries,
    columns: keys,
    signed: !/^(cross_)?weights$/.test(tensor),
  }
  const small = thumbnails(p, maps, detail)
  return [
    { name, buffer: small.bytes, shape: inRank(inHeads, small.rows, small.columns), dtype: 'uint8' },
    { name: `scales.${tensor}`, buffer: small.scale, shape: inRank(inHeads) },
  ]
}
