/**
 * Rows once more, in float64, where values are so large that a sum overflows although the result does not:
 *
 *   output = Σ z·e·v/Σ e          dB = p·(z·dO·v − delta − c·(ln p + H)),  delta = dO·output
 *
 * No product of float32 overflows there, nor a sum of them. Which rows are formed again, hangs on the row alone: on whether what
 * came out of float32 is finite. A pair that is not attended is skipped, whatever stands there; what is not finite by rights
 * comes out as it was. Formulas: online-softmax.ts, gradient-tile.ts.
 */
import { Call } from '../../../wasm/generated/attention'
import { dropRow } from './dropout'
import { high, low } from '../../../wasm/assembly/doubles'
import { log } from '../../../wasm/assembly/elementary'
import { AnyValue, Weights, exponentials } from './exponentials'
import { MR } from '../../../wasm/assembly/lanes'
import { FORWARD_BLOCK, QUERY_TILE, TILE_ROW } from '../../../wasm/assembly/score-tile'
import { maskTile } from './mask-tile'
import { dropTile } from './online-softmax'
import { packPanels } from '../../../wasm/assembly/pack'
import { keyOffset, keyRow, outputOf, queryRow } from './rows'
import { Place } from './place'
import { dotTile, onePack } from './scores'
import { NOTHING, rangesOf } from './visibility'

/** Bytes of a row of sums: a part of the output, and Σ e behind it. */
// @ts-ignore: decorator
@inline
export function sumsRow(call: Call): usize {
  return <usize>(call.depth + 1) << 3
}

/** The outputs of those rows of the place's tile that `large` names. `q`: scale·Q of the tile. */
export function largeOutputs(call: Call, place: Place, tile: i32, lane: usize, q: usize): void {
  const rows = load<u32>(call.large + (<usize>tile << 2))
  if (rows == 0) return
  const reach = call.tileKeys + (<usize>tile << 3)
  for (let part = 0; part < call.dimV; part += call.depth) {
    const depth = min(call.dimV - part, call.depth)
    memory.fill(call.largeSums, 0, <usize>QUERY_TILE * sumsRow(call))
    const first = (load<i32>(reach) / FORWARD_BLOCK) * FORWARD_BLOCK
    for (place.key = first; place.key < load<i32>(reach, 4); place.key += FORWARD_BLOCK) {
      place.keys = min(FORWARD_BLOCK, call.keys - place.key)
      if (exponentialsOf(call, place, tile, lane, q)) addBlock(call, place, rows, part, depth)
    }
    for (let r: usize = 0; r < <usize>place.rows; ++r) {
      if (!(rows & (1 << <u32>r))) continue
      const sums = call.largeSums + r * sumsRow(call)
      const total = load<f64>(sums + (<usize>call.depth << 3))
      const output = outputOf(call, place) + r * queryRow(call, call.dimV) + (<usize>part << 2)
      for (let d: usize = 0; d < <usize>depth; ++d) store<f32>(output + (d << 2), <f32>(load<f64>(sums + (d << 3)) / total))
    }
  }
}

/** tile = exp(s − m) of the place's block once more, with the m that the rows have ended with; whether any row sees it. */
function exponentialsOf(call: Call, place: Place, tile: i32, lane: usize, q: usize): bool {
  const kRow = keyRow(call, call.dimK)
  const k = call.k + keyOffset(call, place, place.key, call.dimK)
  const common = call.common + (<usize>tile << 3)
  const rowFrom = call.rowFrom + lane
  const rowTo = call.rowTo + lane
  const seen = rangesOf(call, place.rows, place.key, FORWARD_BLOCK, rowFrom, rowTo, common)
  if (seen == NOTHING) return false
  if (onePack(call, call.dimK)) packPanels(k, kRow, place.keys, call.dimK, call.keyPack)
  dotTile(call, q, place.rows, k, place.keys, call.dimK, call.keyPack, call.tile)
  maskTile(call, place, rowFrom, rowTo, seen, false)
  for (let r: usize = 0; r < <usize>QUERY_TILE << 2; r += 4) {
    const m = load<f32>(call.runningMax + lane + r)
    store<f32>(call.rowMax + r, m == -Infinity ? 0 : m)
    store<f32>(call.rowFactor + r, 1)
  }
  exponentials<Weights, AnyValue>(call, call.tile, place.rows, call.rowMax, call.rowFactor, 0, 0)
  return true
}

/** Adds a block's e to the rows' Σ e and, after dropout, e·v to their outputs. */
function addBlock(call: Call, place: Place, rows: u32, part: i32, depth: i32): void {
  const vRow = keyRow(call, call.dimV)
  const v = call.v + keyOffset(call, place, place.key, call.dimV) + (<usize>part << 2)
  for (let r = 0; r < place.rows; ++r) {
    if (!(rows & (1 << <u32>r))) continue
    const total = call.largeSums + <usize>r * sumsRow(call) + (<usize>call.depth << 3)
    let sum = load<f64>(total)
    for (let j = beginOf(call, r), end = endOf(call, place, r); j < end; ++j) sum += <f64>load<f32>(element(call, r, j))
    store<f64>(total, sum)
  }
  if (call.dropout) dropTile(call, place)
  for (let r = 0; r < place.rows; ++r) {
    if (!(rows & (1 << <u32>r))) continue
    const into = call.largeSums + <usize>r * sumsRow(call)
    for (let j = beginOf(call, r), end = endOf(call, place, r); j < end; ++j) {
      if (isSkipped(call, r, j)) continue
      addScaled(into, <f64>load<f32>(element(call, r, j)), v + <usize>j * vRow, depth)
    }
  }
}

/** Keys of the block that row r of the tile may see. */
// @ts-ignore: decorator
@inline
export function beginOf(call: Call, r: i32): i32 {
  return load<i32>(call.ranges + (<usize>(r / MR) << 3))
}

// @ts-ignore: decorator
@inline
export function endOf(call: Call, place: Place, r: i32): i32 {
  return min(load<i32>(call.ranges + (<usize>(r / MR) << 3), 4), place.keys)
}

// @ts-ignore: decorator
@inline
function element(call: Call, r: i32, j: i32): usize {
  return call.tile + <usize>r * TILE_ROW + (<usize>j << 2)
}

/** What is not attended; where all is finite, its e of 0 says so. */
export function isSkipped(call: Call, r: i32, j: i32): bool {
  if (call.nonFinite) return load<u8>(call.attended + <usize>(r * FORWARD_BLOCK + j)) == 0
  return load<f32>(element(call, r, j)) == 0
}

/** into += factor·from, `dim` elements, in float64. */
export function addScaled(into: usize, factor: f64, from: usize, dim: i32): void {
  const f = f64x2.splat(factor)
  for (; dim >= 4; dim -= 4) {
    const x = v128.load(from)
    const s0 = f64x2.add(v128.load(into), f64x2.mul(f, low(x)))
    const s1 = f64x2.add(v128.load(into, 16), f64x2.mul(f, high(x)))
    v128.store(into, s1, 16)
    v128.store(into, s0)
    into += 32
    from += 16
  }
  for (; dim > 0; --dim) {
    store<f64>(into, load<f64>(into) + factor * <f64>load<f32>(from))
    into += 8
    from += 4
  }
}

/** x·y of `dim` elements, in float64. */
function dot(x: usize, y: usize, dim: i32): f64 {
  let sum: f64 = 0
  for (let d: usize = 0; d < <usize>dim << 2; d += 4) sum += <f64>load<f32>(x + d) * <f64>load<f32>(y + d)
  return sum
}

/** gradTile's row r for columns begin … end, from the row's weights in `tile`; `at` is the tile's first row. */
export function largeGradientRow(call: Call, place: Place, at: usize, r: i32, begin: i32, end: i32): void {
  const vRow = keyRow(call, call.dimV)
  const row = at + <usize>r
  const gradOutput = place.gradOutput + ((<usize>r * <usize>call.dimV) << 2)
  const v = call.v + keyOffset(call, place, place.key, call.dimV)
  const gradient = call.gradTile + <usize>r * TILE_ROW
  for (let j = begin; j < end; ++j) store<f32>(gradient + (<usize>j << 2), 1)
  if (call.dropout) dropRow(call, place.head, place.row + r, place.key, gradient, begin, end)
  let delta = dot(gradOutput, outputOf(call, place) + <usize>r * queryRow(call, call.dimV), call.dimV)
  if (call.rowTerms) delta += load<f64>(call.rowTerms + (row << 3))
  const terms = call.weightTerms + ((row * <usize>call.keys + <usize>place.key) << 2)
  const entropy = call.entropyCoefficient != 0 ? <f64>load<f32>(call.entropy + (row << 2)) : 0
  for (let j = begin; j < end; ++j) {
    const p = load<f32>(element(call, r, j))
    const into = gradient + (<usize>j << 2)
    if (p == 0 || j >= place.keys) {
      store<f32>(into, 0)
      continue
    }
    let difference = <f64>load<f32>(into) * dot(gradOutput, v + <usize>j * vRow, call.dimV) - delta
    if (call.weightTerms) difference += <f64>load<f32>(terms + (<usize>j << 2))
    if (call.entropyCoefficient != 0) difference -= <f64>call.entropyCoefficient * (log(<f64>p) + entropy)
    store<f32>(into, <f32>(<f64>p * difference))
  }
}
