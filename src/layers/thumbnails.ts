/** Maps as thumbnails: pooled until no side is longer than `max_size`, then a byte an element with a scale a map. */

import type { Ref } from '../../workers/contract.ts'
import { poolMaps, quantiseMaps } from '../../workers/ops/maps/op.ts'
import type { ProgramBuilder } from './program-builder.ts'

export interface Detail {
  max_size: number
  pool: 'max' | 'mean'
}

export interface Maps {
  buffer: Ref
  maps: number
  rows: number
  columns: number
  /** whether elements may be negative */
  signed: boolean
}

export interface Thumbnails {
  /** uint8 [maps, rows, columns] */
  bytes: Ref
  /** [maps] */
  scale: Ref
  rows: number
  columns: number
}

export function thumbnails(
  p: ProgramBuilder,
  { buffer, maps, rows, columns, signed }: Maps,
  { max_size: most, pool }: Detail,
): Thumbnails {
  const block = Math.max(1, Math.ceil(Math.max(rows, columns) / most))
  const small = { rows: Math.ceil(rows / block), columns: Math.ceil(columns / block) }
  const elements = small.rows * small.columns
  const pooled = p.reals(maps * elements)
  p.stage(p.step(poolMaps, { x: buffer, y: pooled }, { maps, rows, columns, block, pool }))
  const bytes = p.buffer({ type: 'uint8', length: maps * elements })
  const scale = p.reals(maps)
  p.stage(p.step(quantiseMaps, { x: pooled, y: bytes, scale }, { maps, elements, signed }))
  return { bytes, scale, ...small }
}
