/** `POST /v1/plan`: requests of the other groups, their tensors but shapes. */
import { ATTENTION_OPTIONS } from './attention.ts'
import { ATTENTION_EDGES } from './attention-edges.ts'
import type { Case } from './case.ts'
import { KIND_CASES } from './kinds.ts'
import { LAYER_CASES } from './layers.ts'
import { STACK_CASES } from './stacks.ts'
import { type Body, mapTensors } from './tensors.ts'

/** Every seventh request: maps and gradients, both precisions, every endpoint. */
const EVERY = 7

export interface Plan {
  name: string
  body: () => Body
}

const planned: Case[] = [
  ...ATTENTION_OPTIONS,
  ...ATTENTION_EDGES,
  ...KIND_CASES,
  ...LAYER_CASES,
  ...STACK_CASES,
]

const shapeAlone = (body: Body) => mapTensors(body, ({ shape }) => ({ shape })) as Body

const small: Plan[] = planned
  .filter((_, index) => index % EVERY === 0)
  .map(({ name, path, body }) => ({
    name: `${path} ${name}`,
    body: () => ({ endpoint: path, body: shapeAlone(body()) }),
  }))

const large = (name: string, n: number, d: number, more: Body): Plan => ({
  name,
  body: () => {
    const shape = [1, 8, n, d]
    return { endpoint: '/v1/attention', body: { q: { shape }, k: { shape }, v: { shape }, ...more } }
  },
})

export const PLANS: Plan[] = [
  ...small,
  large('1024 rows', 1024, 64, {}),
  large('1024 rows, causal, gradients', 1024, 64, {
    causal: true,
    backward: { target: { shape: [1, 8, 1024, 64] } },
  }),
  large('1024 rows, window', 1024, 64, { window: { left: 64, right: 0 } }),
  large('too many operations', 200_000, 64, {}),
  large('too much memory', 4096, 4, { return: ['weights'] }),
]
