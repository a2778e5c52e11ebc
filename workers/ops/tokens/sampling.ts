/** The next tokens by a row of logits. */
import type { Args, Reals, Tensors } from '../define-op.ts'
import { dropoutKeys, mix } from '../dropout.ts'
import { softmaxOf } from './kernel.ts'
import type * as op from './op.ts'

/** The largest logits of a row, by insertion into a short sorted list; of equal ones the lower id comes first. */
export function topTokens(
  t: Tensors<typeof op.topTokens>,
  { vocabulary, top }: Args<typeof op.topTokens>,
  from: number,
  to: number,
): void {
  for (let row = from; row < to; row++) {
    const at = row * vocabulary
    const [most, sum] = softmaxOf(t.logits, at, vocabulary)
    const found = largestOf(t.logits, at, vocabulary, top)
    for (let rank = 0; rank < top; rank++) {
      const id = found[rank]
      t.found[2 * (row * top + rank)] = id
      t.found[2 * (row * top + rank) + 1] = Math.exp(t.logits[at + id] - most) / sum
    }
  }
}

/** Indices of the `top` largest of `count` elements from `at` on, the largest first. */
export function largestOf(x: Reals, at: number, count: number, top: number): Int32Array {
  const found = new Int32Array(top)
  let length = 0
  for (let j = 0; j < count; j++) {
    const value = x[at + j]
    if (length === top && !(value > x[at + found[top - 1]])) continue
    let rank = length < top ? length++ : top - 1
    while (rank > 0 && value > x[at + found[rank - 1]]) {
      found[rank] = found[rank - 1]
      rank--
    }
    found[rank] = j
  }
  return found
}

/**
 * temperature 0: the id of the largest logit, of equal ones the first. Else the first id, in the order of the most probable (or of all ids), at
 * which the running sum of exp((l − most)/temperature) exceeds u times the whole, u = hash(seed, draw)/2³² in [0, 1).
 */
export function nextToken(
  t: Tensors<typeof op.nextToken>,
  a: Args<typeof op.nextToken>,
  from: number,
  to: number,
): void {
  if (from >= to) return
  const { vocabulary, temperature } = a
  if (temperature === 0) {
    t.id[0] = largestOf(t.logits, 0, vocabulary, 1)[0]
    t.value[0] = t.id[0]
    return
  }
  const some = a.topK > 0 && a.topK < vocabulary
  const ids = some
    ? largestOf(t.logits, 0, vocabulary, a.topK)
    : Int32Array.from({ length: vocabulary }, (_, id) => id)
  let most = Number.NEGATIVE_INFINITY
  for (const id of ids) most = Math.max(most, t.logits[id])
  const shares = Float64Array.from(ids, id => Math.exp((t.logits[id] - most) / temperature))
  let left = shares.reduce((sum, share) => sum + share, 0) * uniform(a)
  let chosen = 0
  while (chosen < ids.length - 1 && left >= shares[chosen]) left -= shares[chosen++]
  t.id[0] = ids[chosen]
  t.value[0] = ids[chosen]
}

function uniform({ draw, ...seed }: Args<typeof op.nextToken>): number {
  const { key1, key2 } = dropoutKeys(seed, draw)
  return mix((mix(key1) + key2) >>> 0) / 2 ** 32
}
