/** Random requests of layers, as plain JSON, and checks of all their gradients by central differences. */
import { expect } from 'vitest'
import { runProgram } from './run-program.ts'

export type Flat = { shape: number[]; data: number[]; dtype?: string }
export type Body = Record<string, unknown>

const STEP = 1e-5
const TOLERANCE = 1e-6
/** What a sum of some hundred terms may lose of its last bits: a difference of two losses cannot be better than that. */
const ROUNDING = 64 * Number.EPSILON

/** Numbers from a seed (mulberry32), normal-ish: the sum of three uniforms. */
export function drawer(seed: number): (...shape: number[]) => Flat {
  let state = seed >>> 0
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
  return (...shape) => {
    const count = shape.reduce((a, b) => a * b, 1)
    return { shape, data: Array.from({ length: count }, () => uniform() + uniform() + uniform() - 1.5) }
  }
}

/** The tensor of the body that a gradient is of: `x`, `params.w_q`, `stack.params.layers.0.norm1.gamma`, `encoder.x`. */
function tensorAt(body: Body, name: string): Flat {
  if (name.startsWith('encoder.')) return tensorAt(body.encoder as Body, name.slice('encoder.'.length))
  if (name.startsWith('past.')) return (body.past as Record<string, Flat>)[name.slice('past.'.length)]
  if (/^(attention_kind|state)\./.test(name)) {
    const [top, ...below] = name.split('.')
    const path = top === 'state' ? [below.join('.')] : below
    return path.reduce<unknown>((node, key) => (node as Body)[key], body[top]) as Flat
  }
  if (!name.startsWith('params.')) return body[name] as Flat
  const holder = (body.stack ?? body) as { params: Record<string, Flat> }
  return holder.params[name.slice('params.'.length)]
}

/**
 * L = the request's loss, or Σ grad_output·output (plus the entropy term). Every gradient of the answer is held against
 * differences of L at `picks` of its elements.
 */
export async function expectGradients(path: string, body: Body, picks: number[]): Promise<string[]> {
  const answer = await runProgram(path, body)
  const names = Object.keys(answer.tensors).flatMap(name =>
    name.startsWith('grads.') ? [name.slice('grads.'.length)] : [],
  )
  for (const name of names) {
    const input = tensorAt(body, name)
    const gradient = answer.tensors[`grads.${name}`]
    expect(gradient.shape, name).toEqual(input.shape)
    const largest = Math.max(1e-3, ...gradient.data.map(Math.abs))
    for (const pick of picks) {
      if (input.data.length === 0) continue
      const at = pick % input.data.length
      const value = input.data[at]
      input.data[at] = value + STEP
      const above = await lossOf(path, body)
      input.data[at] = value - STEP
      const below = await lossOf(path, body)
      input.data[at] = value
      const difference = (above - below) / (2 * STEP)
      const error = Math.abs(difference - gradient.data[at])
      const allowed = TOLERANCE * largest + (ROUNDING * Math.abs(above)) / STEP
      const message = `${name}[${at}]: ${gradient.data[at]} by formula, ${difference} by differences`
      expect(error, message).toBeLessThan(allowed)
    }
  }
  return names
}

async function lossOf(path: string, body: Body): Promise<number> {
  const { wrt: _wrt, ...backward } = body.backward as Body
  const answer = await runProgram(path, { ...body, return: ['output'], backward: { ...backward, wrt: [] } })
  let loss = answer.loss ?? 0
  const given = backward.grad_output as Flat | undefined
  for (const [i, g] of given?.data.entries() ?? []) loss += g * answer.tensors.output.data[i]
  return loss
}
