/**
 * Differentiates the recurrence, event by event from the last to the first. With G = ∂L/∂S of what comes later:
 *
 *   row:  ∂q = scale·S·∂o            G += (scale·q)·∂oᵀ
 *   key:  ∂u = Gᵀk                    ∂k = G·u + S̃·∂r
 *         ∂v = β·∂u                   ∂β = ∂u·(v − S̃ᵀk)          ∂r = −β·∂u, of S̃ᵀk       (without β: ∂v = ∂u, ∂r = 0)
 *         G̃ = G + k·∂rᵀ               ∂decay = Σ G̃ ⊙ S̃           G = a ⊙ G̃
 *
 * The states within a chunk are computed again from the one at its beginning.
 */
import type { Tensors } from '../../define-op.ts'
import type * as op from '../op.ts'
import { type RecurrentArgs, recurrentChunks } from '../op.ts'
import { gatesOf, type Sequence, sequenceOf } from './events.ts'
import { stepColumn } from './forward.ts'

type BackwardTensors = Tensors<typeof op.recurrentBackward>

interface Place {
  kvHead: number
  b: number
  h: number
  chunk: number
  sequence: Sequence
  events: number[]
}

export function recurrentBackward(t: BackwardTensors, a: RecurrentArgs, from: number, to: number): void {
  const chunks = recurrentChunks(a)
  for (let unit = from; unit < to; unit++) {
    const chunk = chunks - 1 - (unit % chunks)
    const kvHead = Math.floor(unit / chunks)
    const [b, h] = [Math.floor(kvHead / a.kvHeads), kvHead % a.kvHeads]
    const sequence = sequenceOf(t, a, b)
    const place = { kvHead, b, h, chunk, sequence, events: sequence.events(chunk) }
    clear(t, a, place)
    for (let column = 0; column < a.dimV; column++) runColumn(t, a, place, column)
  }
}

/** What the chunk's keys and rows have is a sum over columns. */
function clear(t: BackwardTensors, a: RecurrentArgs, { kvHead, b, h, events }: Place): void {
  const group = a.heads / a.kvHeads
  for (const event of events) {
    if (event < 0) {
      const j = -1 - event
      const key = kvHead * a.keys + j
      t.gradK?.fill(0, key * a.dimK, (key + 1) * a.dimK)
      t.gradV?.fill(0, key * a.dimV, (key + 1) * a.dimV)
      const gate = (b * a.keys + j) * a.kvHeads + h
      t.gradDecay?.fill(0, gate * a.decayDims, (gate + 1) * a.decayDims)
      t.gradBeta?.fill(0, gate, gate + 1)
      continue
    }
    for (let member = 0; member < group; member++) {
      const row = rowOf(a, { b, h }, member, event)
      t.gradQ?.fill(0, row * a.dimK, (row + 1) * a.dimK)
    }
  }
}

function rowOf(a: RecurrentArgs, { b, h }: Pick<Place, 'b' | 'h'>, member: number, i: number): number {
  return (b * a.heads + (h * a.heads) / a.kvHeads + member) * a.queries + i
}

function runColumn(t: BackwardTensors, a: RecurrentArgs, place: Place, column: number): void {
  const { kvHead, b, h, chunk, sequence, events } = place
  const { dimK, dimV } = a
  const chunks = recurrentChunks(a)
  const at = (d: number) => (kvHead * dimK + d) * dimV + column
  const S = new Float64Array(dimK)
  const G = new Float64Array(dimK)
  for (let d = 0; d < dimK; d++) {
    S[d] = t.states[((kvHead * chunks + chunk) * dimK + d) * dimV + column]
    G[d] = chunk === chunks - 1 ? 0 : t.gradState[at(d)]
  }
  const states = [S.slice()]
  const errors: number[] = []
  for (const event of events) {
    if (event >= 0 || -1 - event >= sequence.seen) continue
    errors.push(stepColumn(t, a, S, { b, h, j: -1 - event, column }))
    states.push(S.slice())
  }
  for (const event of events.toReversed()) {
    if (event >= 0) {
      if (event < sequence.live && (sequence.to(event) > 0 || t.initial !== undefined)) {
        rowBackward(t, a, place, event, { S: states[states.length - 1], G, column })
      }
      continue
    }
    const j = -1 - event
    if (j >= sequence.seen) continue
    states.pop()
    keyBackward(t, a, place, j, {
      S: states[states.length - 1],
      G,
      column,
      error: errors.pop() as number,
    })
  }
  for (let d = 0; d < dimK; d++) t.gradState[at(d)] = G[d]
}

interface Column {
  /** of a row the state that it reads; of a key the one before it */
  S: Float64Array
  G: Float64Array
  column: number
}

function rowBackward(t: BackwardTensors, a: RecurrentArgs, place: Place, i: number, c: Column): void {
  for (let member = 0; member < a.heads / a.kvHeads; member++) {
    const row = rowOf(a, place, member, i)
    const gradient = a.scale * t.gradOutput[row * a.dimV + c.column]
    for (let d = 0; d < a.dimK; d++) {
      if (t.gradQ) t.gradQ[row * a.dimK + d] += gradient * c.S[d]
      c.G[d] += gradient * t.q[row * a.dimK + d]
    }
  }
}

function keyBackward(
  t: BackwardTensors,
  a: RecurrentArgs,
  { kvHead, b, h }: Place,
  j: number,
  { S, G, column, error }: Column & { error: number },
): void {
  const { dimK, dimV } = a
  const { decayAt, factor, rate } = gatesOf(t, a, b, h)
  const key = kvHead * a.keys + j
  const delta = a.betaHeads > 0
  let gradUpdate = 0
  for (let d = 0; d < dimK; d++) gradUpdate += t.k[key * dimK + d] * G[d]
  const gradRead = delta ? -rate(j) * gradUpdate : 0
  const update = delta ? rate(j) * error : error
  if (t.gradV) t.gradV[key * dimV + column] = delta ? -gradRead : gradUpdate
  if (t.gradBeta) t.gradBeta[(b * a.keys + j) * a.kvHeads + h] += gradUpdate * error
  for (let d = 0; d < dimK; d++) {
    const decayed = factor(j, d) * S[d]
    if (t.gradK) t.gradK[key * dimK + d] += G[d] * update + (delta ? decayed * gradRead : 0)
    const before = delta ? G[d] + t.k[key * dimK + d] * gradRead : G[d]
    if (t.gradDecay) t.gradDecay[decayAt(j, d)] += before * decayed
    G[d] = factor(j, d) * before
  }
}
