/** The recurrence and its gradients in plain float32, every operation rounded. */
import type { RecurrentArgs } from '../../workers/ops/recurrent-attention/op.ts'
import { recurrentChunks } from '../../workers/ops/recurrent-attention/op.ts'
import {
  gatesOf,
  type Sequences,
  sequenceOf,
} from '../../workers/ops/recurrent-attention/reference/events.ts'
import { type OpCase, type Order, plainOutputs, plainSum } from './op-case.ts'

const f = Math.fround

type Of = Record<string, Float64Array>
type Out = Record<string, Float32Array>

/** One key in all columns of a state: S becomes the next state; gives what is left of v. */
function step(t: Of, a: RecurrentArgs, S: Float32Array, b: number, h: number, j: number, order: Order) {
  const { dimK, dimV } = a
  const { factor, rate } = gatesOf(t, a, b, h)
  const key = (b * a.kvHeads + h) * a.keys + j
  const errors = new Float32Array(dimV)
  for (let x = 0; x < dimV; x++) {
    for (let d = 0; d < dimK; d++) S[d * dimV + x] = f(factor(j, d) * S[d * dimV + x])
    const read = plainSum(order, dimK, d => f(S[d * dimV + x] * t.k[key * dimK + d]))
    const delta = a.betaHeads > 0
    errors[x] = delta ? f(t.v[key * dimV + x] - read) : t.v[key * dimV + x]
    const update = delta ? f(rate(j) * errors[x]) : errors[x]
    for (let d = 0; d < dimK; d++) S[d * dimV + x] = f(S[d * dimV + x] + f(t.k[key * dimK + d] * update))
  }
  return errors
}

export function plainForward(c: OpCase, order: Order): Out {
  const out = plainOutputs(c)
  const t = c.inputs as Of
  const a = c.args as RecurrentArgs
  const { dimK, dimV, kvHeads, heads, queries } = a
  const size = dimK * dimV
  const chunks = recurrentChunks(a)
  for (let kvHead = 0; kvHead < a.batch * kvHeads; kvHead++) {
    const [b, h] = [Math.floor(kvHead / kvHeads), kvHead % kvHeads]
    const { live, seen, to, events } = sequenceOf(c.inputs as unknown as Sequences, a, b)
    const S = new Float32Array(size)
    if (t.initial) S.set(t.initial.subarray(kvHead * size, (kvHead + 1) * size))
    for (let chunk = 0; chunk < chunks; chunk++) {
      out.states?.set(S, (kvHead * chunks + chunk) * size)
      for (const event of events(chunk)) {
        if (event < 0) {
          if (-1 - event < seen) step(t, a, S, b, h, -1 - event, order)
          continue
        }
        if (event >= live || (to(event) === 0 && !t.initial)) continue
        for (let member = 0; member < heads / kvHeads; member++) {
          const row = (b * heads + (h * heads) / kvHeads + member) * queries + event
          for (let x = 0; x < dimV; x++) {
            out.output[row * dimV + x] = plainSum(order, dimK, d =>
              f(f(a.scale * t.q[row * dimK + d]) * S[d * dimV + x]),
            )
          }
        }
      }
    }
    out.state.set(S, kvHead * size)
  }
  return out
}

export function plainBackward(c: OpCase, order: Order): Out {
  const out = plainOutputs(c)
  const t = c.inputs as Of
  const a = c.args as RecurrentArgs
  const { dimK, dimV, kvHeads, heads, queries } = a
  const size = dimK * dimV
  const chunks = recurrentChunks(a)
  for (let kvHead = 0; kvHead < a.batch * kvHeads; kvHead++) {
    const [b, h] = [Math.floor(kvHead / kvHeads), kvHead % kvHeads]
    const { live, seen, to, events } = sequenceOf(c.inputs as unknown as Sequences, a, b)
    const G = new Float32Array(size)
    for (let chunk = chunks - 1; chunk >= 0; chunk--) {
      const S = Float32Array.from(t.states.subarray((kvHead * chunks + chunk) * size).subarray(0, size))
      const states = [S.slice()]
      const errors: Float32Array[] = []
      for (const event of events(chunk)) {
        if (event >= 0 || -1 - event >= seen) continue
        errors.push(step(t, a, S, b, h, -1 - event, order))
        states.push(S.slice())
      }
      for (const event of events(chunk).toReversed()) {
        if (event < 0) {
          if (-1 - event >= seen) continue
          states.pop()
          const error = errors.pop() as Float32Array
          keyBackward(t, a, out, order, {
            kvHead,
            b,
            h,
            j: -1 - event,
            G,
            S: states.at(-1) as Float32Array,
            error,
          })
        } else if (event < live && (to(event) > 0 || t.initial)) {
          const last = states.at(-1) as Float32Array
          for (let member = 0; member < heads / kvHeads; member++) {
            const row = (b * heads + (h * heads) / kvHeads + member) * queries + event
            const gradient = (x: number) => f(a.scale * t.gradOutput[row * dimV + x])
            for (let d = 0; d < dimK; d++) {
              if (out.gradQ)
                out.gradQ[row * dimK + d] = plainSum(order, dimV, x => f(last[d * dimV + x] * gradient(x)))
              for (let x = 0; x < dimV; x++)
                G[d * dimV + x] = f(G[d * dimV + x] + f(t.q[row * dimK + d] * gradient(x)))
            }
          }
        }
      }
    }
    out.gradState.set(G, kvHead * size)
  }
  return out
}

interface Key {
  kvHead: number
  b: number
  h: number
  j: number
  G: Float32Array
  S: Float32Array
  error: Float32Array
}

function keyBackward(t: Of, a: RecurrentArgs, out: Out, order: Order, of: Key): void {
  const { kvHead, b, h, j, G, S, error } = of
  const { dimK, dimV } = a
  const { decayAt, factor, rate } = gatesOf(t, a, b, h)
  const key = kvHead * a.keys + j
  const delta = a.betaHeads > 0
  const k = t.k.subarray(key * dimK, (key + 1) * dimK)
  const gradUpdate = Float32Array.from({ length: dimV }, (_, x) =>
    plainSum(order, dimK, d => f(k[d] * G[d * dimV + x])),
  )
  const scaled = gradUpdate.map(g => (delta ? rate(j) * g : g))
  const update = error.map(e => (delta ? rate(j) * e : e))
  out.gradV?.set(scaled, key * dimV)
  const gate = (b * a.keys + j) * a.kvHeads + h
  if (out.gradBeta) out.gradBeta[gate] = plainSum(order, dimV, x => f(gradUpdate[x] * error[x]))
  const decayed = S.map((s, i) => factor(j, Math.floor(i / dimV)) * s)
  if (out.gradK) {
    for (let d = 0; d < dimK; d++) {
      const term = (x: number) =>
        f(f(G[d * dimV + x] * update[x]) - (delta ? f(decayed[d * dimV + x] * scaled[x]) : 0))
      out.gradK[key * dimK + d] = plainSum(order, dimV, term)
    }
  }
  for (let i = 0; delta && i < G.length; i++) G[i] = f(G[i] - f(k[Math.floor(i / dimV)] * scaled[i % dimV]))
  for (let d = 0; out.gradDecay && d < dimK; d++) {
    const sum = plainSum(order, dimV, x => f(G[d * dimV + x] * decayed[d * dimV + x]))
    out.gradDecay[decayAt(j, d)] += sum
  }
  for (let i = 0; i < G.length; i++) G[i] *= factor(j, Math.floor(i / dimV))
}
