/**
 * From the score tile to the weights and the scores' gradient, tile by tile, for the two backward kernels.
 *
 *   x = s − m                            p = exp(x)/Σ, (m, Σ) the row's denominator
 *   dP = z·dO·Vᵀ + G                     z = dropout's 0 or 1/(1−p), G = weightTerms
 *   dB = p·(dP − delta − c·(ln p + H))   the gradient of the masked score, c·H being the entropy term of the loss
 *   dS = dB·(1 − tanh²)                  back through the softcap to (scale·q)·k
 *   tile becomes z·p, gradTile dB or dS
 *
 * Hazards: in a row that attends to nothing, m is −∞ and x would be NaN: 0 stands in, and for 1/Σ. A masked pair has p = 0,
 * but its dP may be infinite: dB is 0 wherever p is. 1 − tanh² is formed as (1 − tanh)(1 + tanh). dP and delta may overflow where
 * p·(dP − delta) does not: a row in which that is not finite is formed again by large-values.ts.
 * Differentiates forward.ts; p is computed again, from scores that are the forward pass's to the bit, so nothing of size N·M was
 * kept.
 * Sources: Dao et al. 2022 (FlashAttention, algorithm 4); the entropy term: dH/ds = −p·(ln p + H).
 */
import { Call } from '../../../wasm/generated/attention'
import { dropRow } from './dropout'
import { AnyValue, Finite, Weights, exponentials } from './exponentials'
import { largeGradientRow } from './large-values'
import { MR, madd, sumLanes } from '../../../wasm/assembly/lanes'
import { log } from '../../../wasm/assembly/elementary'
import { KEY_BLOCK, FORWARD_BLOCK, QUERY_TILE, TILE_ROW, fill } from '../../../wasm/assembly/score-tile'
import { packTransposed } from '../../../wasm/assembly/pack'
import { outputOf, queryOffset, queryRow } from './rows'
import { Place } from './place'

/**
 * delta[r] = Σ_d gradOutput·output + rowTerms for the place's rows (at most a tile), which begin at row `at` of [batch, heads,
 * queries]; 0 where nothing is attended.
 *
 * Hazard: dP − delta cancels where a row attends (almost) to one key, whose v is then the output. Remedy: delta is
 * summed by the very arithmetic of the product dO·Vᵀ, in its order and its parts, so that the errors cancel as well:
 * a row with a single key has a gradient of exactly 0. (So the rows stand side by side in lanes, transposed.)
 */
export function deltaTile(call: Call, place: Place, at: usize, delta: usize): void {
  const rows = place.rows
  const row = queryRow(call, call.dimV)
  const output = outputOf(call, place)
  const gradOutput = call.gradOutput + queryOffset(call, place, place.row, call.dimV)
  memory.fill(delta, 0, <usize>rows << 2)
  for (let part = 0; part < call.dimV; part += call.depth) {
    const depth = min(call.dimV - part, call.depth)
    const offset = <usize>part << 2
    packTransposed(output + offset, row, rows, depth, call.queryPack, QUERY_TILE)
    packTransposed(gradOutput + offset, row, rows, depth, call.gradOutputPack, QUERY_TILE)
    for (let r = 0; r < rows; r += 4) {
      const sum = dotLanes(call.gradOutputPack + (<usize>r << 2), call.queryPack + (<usize>r << 2), depth)
      v128.store(call.spare, sum)
      for (let lane = 0; lane < min(4, rows - r); ++lane) {
        const into = delta + (<usize>(r + lane) << 2)
        store<f32>(into, load<f32>(into) + load<f32>(call.spare + (<usize>lane << 2)))
      }
    }
  }
  for (let r: usize = 0; r < <usize>rows; ++r) {
    const into = delta + (r << 2)
    if (load<f64>(call.denominator + ((at + r) << 4), 8) == 0) store<f32>(into, 0)
    else if (call.rowTerms) store<f32>(into, load<f32>(into) + <f32>load<f64>(call.rowTerms + ((at + r) << 3)))
  }
}

/**
 * m and 1/Σ of the rows from row `at`, into rowMax and rowFactor, both 0 where nothing is attended; entropy − ln Σ into rowEntropy,
 * where there is an entropy.
 */
export function denominatorRows(call: Call, at: usize, rows: i32): void {
  for (let r: usize = 0; r < <usize>rows; ++r) {
    const denominator = call.denominator + ((at + r) << 4)
    const sum = load<f64>(denominator, 8)
    const empty = sum == 0
    store<f32>(call.rowMax + (r << 2), empty ? 0 : <f32>load<f64>(denominator))
    store<f32>(call.rowFactor + (r << 2), empty ? 0 : <f32>(1 / sum))
    if (!call.entropyCoefficient) continue
    const entropy = <f64>load<f32>(call.entropy + ((at + r) << 2))
    store<f32>(call.rowEntropy + (r << 2), empty ? 0 : <f32>(entropy - log(sum)))
  }
}

/** Four rows' sums of products along the depth of two transposed packs [depth][24]. */
function dotLanes(x: usize, y: usize, depth: i32): v128 {
  let sum = f32x4.splat(0)
  for (; depth > 0; --depth) {
    sum = madd(v128.load(x), v128.load(y), sum)
    x += 96
    y += 96
  }
  return sum
}

/**
 * tile: masked scores → z·p; gradTile: dO·Vᵀ → dS, or dB where `toBias`. Both become 0 outside of `ranges`.
 * `at` is the tile's first row in [batch, heads, queries]; delta[r] belongs to row r of the tile.
 */
export function gradientTile(call: Call, place: Place, at: usize, delta: usize, toBias: bool): void {
  const capped = call.softcap > 0 && !toBias
  const rows = place.rows
  denominatorRows(call, at, rows)
  for (let r = 0; r < rows; ++r) {
    const range = call.ranges + (<usize>(r / MR) << 3)
    const begin = load<i32>(range)
    const end = load<i32>(range, 4)
    const weights = call.tile + <usize>r * TILE_ROW
    const gradient = call.gradTile + <usize>r * TILE_ROW
    fill(weights, 0, begin, 0)
    fill(weights, end, KEY_BLOCK, 0)
    fill(gradient, 0, begin, 0)
    fill(gradient, end, KEY_BLOCK, 0)
    if (call.dropout) dropRow(call, place.head, place.row + r, place.key, gradient, begin, end)
    if (call.weightTerms) addTerms(call, place, at + <usize>r, gradient, begin, min(end, place.keys))
    if (call.entropyCoefficient == 0) continue
    const index = <usize>r << 2
    const m = load<f32>(call.rowMax + index)
    entropyRow(weights, gradient, begin, end, m, call.entropyCoefficient, load<f32>(call.rowEntropy + index))
  }
  if (call.nonFinite) exponentials<Weights, AnyValue>(call, call.tile, rows, call.rowMax, call.rowFactor, 0, 0)
  else exponentials<Weights, Finite>(call, call.tile, rows, call.rowMax, call.rowFactor, 0, 0)
  for (let r = 0; r < rows; ++r) {
    const range = call.ranges + (<usize>(r / MR) << 3)
    const begin = load<i32>(range)
    const end = load<i32>(range, 4)
    const weights = call.tile + <usize>r * TILE_ROW
    const gradient = call.gradTile + <usize>r * TILE_ROW
    if (!scoreGradientRow(call, weights, gradient, begin, end, load<f32>(delta + (<usize>r << 2)))) {
      largeGradientRow(call, place, at, r, begin, end)
    }
    if (call.dropout) dropRow(call, place.head, place.row + r, place.key, weights, begin, end)
    if (capped) uncapRow(gradient, call.tanhTile + <usize>r * TILE_ROW, begin, end)
    if (call.nonFinite) forgetMasked(call.attended + <usize>(r * FORWARD_BLOCK), gradient)
  }
}

/** p·(dP − delta), 0 where p is 0. */
// @ts-ignore: decorator
@inline
function scoreGradient(p: v128, gradWeight: v128, delta: v128): v128 {
  return v128.andnot(f32x4.mul(p, f32x4.sub(gradWeight, delta)), f32x4.eq(p, f32x4.splat(0)))
}

/** gradient = p·(gradient − delta); whether all of it is finite. */
function scoreGradientRow(call: Call, weights: usize, gradient: usize, begin: i32, end: i32, delta: f32): bool {
  const d = f32x4.splat(delta)
  const zero = f32x4.splat(0)
  const last = gradient + (<usize>end << 2)
  let n0 = zero
  let n1 = zero
  weights += <usize>begin << 2
  gradient += <usize>begin << 2
  for (; gradient < last; gradient += 32) {
    const g0 = scoreGradient(v128.load(weights), v128.load(gradient), d)
    const g1 = scoreGradient(v128.load(weights, 16), v128.load(gradient, 16), d)
    v128.store(gradient, g1, 16)
    v128.store(gradient, g0)
    // 0, or NaN once something is not finite
    n0 = madd(g0, zero, n0)
    n1 = madd(g1, zero, n1)
    weights += 32
  }
  v128.store(call.spare, n1, 16)
  v128.store(call.spare, n0)
  return sumLanes(v128.load(call.spare), v128.load(call.spare, 16)) == 0
}

/** gradient += weightTerms for columns begin … end of row `row` of [batch, heads, queries]: they have no elements beyond. */
function addTerms(call: Call, place: Place, row: usize, gradient: usize, begin: i32, end: i32): void {
  const terms = call.weightTerms + ((row * <usize>call.keys + <usize>place.key) << 2)
  let j = begin
  for (; j + 8 <= end; j += 8) {
    const at = <usize>j << 2
    const g0 = f32x4.add(v128.load(gradient + at), v128.load(terms + at))
    const g1 = f32x4.add(v128.load(gradient + at, 16), v128.load(terms + at, 16))
    v128.store(gradient + at, g1, 16)
    v128.store(gradient + at, g0)
  }
  for (; j < end; ++j) {
    const at = <usize>j << 2
    store<f32>(gradient + at, load<f32>(gradient + at) + load<f32>(terms + at))
  }
}

/** gradient −= c·(s − m + H − ln Σ), s − m no less than −88, where p is 0 anyway. */
function entropyRow(scores: usize, gradient: usize, begin: i32, end: i32, max: f32, c: f32, entropy: f32): void {
  const m = f32x4.splat(max)
  const coefficient = f32x4.splat(-c)
  const h = f32x4.splat(entropy)
  const least = f32x4.splat(-88)
  for (let j = <usize>begin << 2, last = <usize>end << 2; j < last; j += 32) {
    const x0 = f32x4.pmax(f32x4.sub(v128.load(scores + j), m), least)
    const x1 = f32x4.pmax(f32x4.sub(v128.load(scores + j, 16), m), least)
    const g0 = madd(coefficient, f32x4.add(x0, h), v128.load(gradient + j))
    const g1 = madd(coefficient, f32x4.add(x1, h), v128.load(gradient + j, 16))
    v128.store(gradient + j, g1, 16)
    v128.store(gradient + j, g0)
  }
}

/** dS = dB·(1 − tanh²) */
export function uncapRow(gradient: usize, tanhRow: usize, begin: i32, end: i32): void {
  const one = f32x4.splat(1)
  for (let j = <usize>begin << 2, last = <usize>end << 2; j < last; j += 32) {
    const t0 = v128.load(tanhRow + j)
    const t1 = v128.load(tanhRow + j, 16)
    const g0 = f32x4.mul(v128.load(gradient + j), f32x4.mul(f32x4.sub(one, t0), f32x4.add(one, t0)))
    const g1 = f32x4.mul(v128.load(gradient + j, 16), f32x4.mul(f32x4.sub(one, t1), f32x4.add(one, t1)))
    v128.store(gradient + j, g1, 16)
    v128.store(gradient + j, g0)
  }
}

/** In a row whose denominator or delta is NaN, what is not attended still has no weight and no gradient. */
export function forgetMasked(attended: usize, row: usize, keys: i32 = KEY_BLOCK): void {
  for (let j: usize = 0; j < <usize>keys; ++j) if (!load<u8>(attended + j)) store<f32>(row + (j << 2), 0)
}
