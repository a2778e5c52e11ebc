/**
 * The maps [batch, heads, queries, keys] beside the online softmax: a tile's scores go into the map while they are there,
 * and when a row is done, so that its denominator (m, Σ) is known, they turn into weights where they stand:
 *
 *   weights = exp(maskedScores − m)/Σ, 0 where not attended      droppedWeights = z·weights
 *
 * Nothing is computed twice, and no more memory is needed: the first map that is asked for of maskedScores, weights and
 * droppedWeights holds the masked scores first.
 * Hazard: where Σ is NaN, so is 0/Σ: what is not attended has weight 0 all the same.
 */
import { Call } from '../../../wasm/generated/attention'
import { dropRow } from './dropout'
import { AnyValue, Finite, exp, roundAt } from './exponentials'
import { denominatorRows } from './gradient-tile'
import { MR } from '../../../wasm/assembly/lanes'
import { TILE_ROW, fill } from '../../../wasm/assembly/score-tile'
import { copyRows } from '../../../wasm/assembly/product'
import { Place } from './place'

/** The map that holds the masked scores; 0 where none is asked for. */
// @ts-ignore: decorator
@inline
export function scoreMap(call: Call): usize {
  return call.maskedScores ? call.maskedScores : weightMap(call)
}

/** The map that holds the weights before dropout; 0 where none is asked for. */
// @ts-ignore: decorator
@inline
function weightMap(call: Call): usize {
  return call.weights ? call.weights : call.droppedWeights
}

/** The tile within `ranges` into its place in a map. */
export function storeTile(call: Call, place: Place, map: usize): void {
  const row = <usize>call.keys << 2
  for (let r = 0; r < place.rows; r += MR) {
    const range = call.ranges + (<usize>(r / MR) << 3)
    const begin = load<i32>(range)
    const width = min(load<i32>(range, 4), place.keys) - begin
    const from = call.tile + <usize>r * TILE_ROW + (<usize>begin << 2)
    copyRows(from, TILE_ROW, min(place.rows - r, MR), width, map + <usize>r * row + (<usize>begin << 2), row)
  }
}

/**
 * Finishes the rows of a tile, from row `at` of [batch, heads, queries], in all maps but `scores`: within a row's interval
 * the masked scores turn into what is asked for, around it stands what stands where nothing is attended.
 */
export function finishMaps(call: Call, place: Place, at: usize, rowFrom: usize, rowTo: usize): void {
  const scores = scoreMap(call)
  const weights = weightMap(call)
  if (weights) denominatorRows(call, at, place.rows)
  for (let r: usize = 0; r < <usize>place.rows; ++r) {
    const row = (at + r) * (<usize>call.keys << 2)
    const from = load<i32>(rowFrom + (r << 2))
    const to = load<i32>(rowTo + (r << 2))
    if (call.maskedScores) fillAround(call, call.maskedScores + row, from, to, -Infinity)
    if (call.weights) fillAround(call, call.weights + row, from, to, 0)
    if (call.droppedWeights) fillAround(call, call.droppedWeights + row, from, to, 0)
    if (!weights) continue
    const start = row + (<usize>from << 2)
    const m = load<f32>(call.rowMax + (r << 2))
    const factor = load<f32>(call.rowFactor + (r << 2))
    weightsRow(call, scores + start, weights + start, to - from, m, factor)
    if (!call.droppedWeights) continue
    if (call.weights) memory.copy(call.droppedWeights + start, weights + start, <usize>(to - from) << 2)
    if (call.dropout) dropMapRow(call, place, place.row + <i32>r, from, to - from, call.droppedWeights + start)
  }
}

/** The row's elements before key `from` and from key `to` on. */
function fillAround(call: Call, row: usize, from: i32, to: i32, value: f32): void {
  fillRun(row, from, value)
  fillRun(row + (<usize>to << 2), call.keys - to, value)
}

function fillRun(at: usize, count: i32, value: f32): void {
  const values = f32x4.splat(value)
  let j = 0
  for (; j + 8 <= count; j += 8) {
    v128.store(at + (<usize>j << 2), values, 16)
    v128.store(at + (<usize>j << 2), values)
  }
  fill(at, j, count, value)
}

/** into = exp(scores − m)·factor, `count` elements; both may be the same place. */
function weightsRow(call: Call, scores: usize, into: usize, count: i32, m: f32, factor: f32): void {
  if (factor != factor) {
    for (let at: usize = 0, end = <usize>count << 2; at < end; at += 4) {
      store<f32>(into + at, load<f32>(scores + at) == -Infinity ? 0 : factor)
    }
    return
  }
  const whole = count & ~7
  weightsRun(call, scores, into, whole, m, factor)
  if (whole == count) return
  // the last, incomplete eight by way of a place that has room for eight
  const done = <usize>whole << 2
  const left = <usize>(count - whole) << 2
  memory.copy(call.spare, scores + done, left)
  weightsRun(call, call.spare, call.spare, 8, m, factor)
  memory.copy(into + done, call.spare, left)
}

/** The same for a multiple of eight elements and a factor that is no NaN: nor are the scores then. */
function weightsRun(call: Call, scores: usize, into: usize, count: i32, m: f32, factor: f32): void {
  if (call.nonFinite) weightsLoop<AnyValue>(call, scores, into, count, m, factor)
  else weightsLoop<Finite>(call, scores, into, count, m, factor)
}

function weightsLoop<N>(call: Call, scores: usize, into: usize, count: i32, m: f32, factor: f32): void {
  const k = call.constants
  const least = v128.load_splat<f32>(k)
  const log2e = v128.load_splat<f32>(k, 4)
  const round = roundAt<N>(call)
  const p6 = v128.load_splat<f32>(k, 12)
  const p5 = v128.load_splat<f32>(k, 16)
  const p4 = v128.load_splat<f32>(k, 20)
  const p3 = v128.load_splat<f32>(k, 24)
  const p2 = v128.load_splat<f32>(k, 28)
  const p1 = v128.load_splat<f32>(k, 32)
  const one = v128.load_splat<f32>(k, 36)
  const u = f32x4.splat(m)
  const f = f32x4.splat(factor)
  for (const end = scores + (<usize>count << 2); scores < end; scores += 32) {
    const x0 = f32x4.sub(v128.load(scores), u)
    const x1 = f32x4.sub(v128.load(scores, 16), u)
    const e0 = f32x4.mul(exp<N>(x0, least, log2e, round, p6, p5, p4, p3, p2, p1, one), f)
    const e1 = f32x4.mul(exp<N>(x1, least, log2e, round, p6, p5, p4, p3, p2, p1, one), f)
    v128.store(into, e1, 16)
    v128.store(into, e0)
    into += 32
  }
}

/** values = z·values, `count` elements of query i from key `from` on. */
function dropMapRow(call: Call, place: Place, i: i32, from: i32, count: i32, values: usize): void {
  const whole = count & ~7
  dropRow(call, place.head, i, from, values, 0, whole)
  if (whole == count) return
  const done = <usize>whole << 2
  const left = <usize>(count - whole) << 2
  memory.copy(call.spare, values + done, left)
  dropRow(call, place.head, i, from + whole, call.spare, 0, 8)
  memory.copy(values + done, call.spare, left)
}
