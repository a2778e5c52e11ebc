// openapi-typescript + openapi-fetch on openapi-3.0.json
import createClient from 'openapi-fetch'
import type { paths } from './api.js'

const check = (ok: unknown, what: unknown) => {
  if (!ok) throw new Error(JSON.stringify(what))
}
const api = createClient<paths>({ baseUrl: process.env.SERVER })
const X = [
  [1, 0, 0, 0],
  [0, 1, 0, 0],
  [0, 0, 1, 0],
]
const answer = await api.POST('/v1/attention', {
  body: { q: X, k: X, v: X, return: ['output', 'weights'], backward: { target: X } },
})
const weights = answer.data?.weights as number[][]
check(
  weights[0][0] > weights[0][1] && (answer.data?.grads?.q as number[][] | undefined)?.length === 3,
  answer.data,
)

const refused = await api.POST('/v1/attention', { body: { q: X, k: [[1, 0]], v: X } })
check(refused.error?.code === 'SHAPE_MISMATCH', refused.error)

const run = await api.POST('/v1/transformer', {
  body: { x: X, stack: { layers: 1, heads: 2, d_ff: 8, init: { seed: 1 } }, return: ['output', 'weights'] },
})
check(run.data?.layers?.length === 1, run)

const shape = { shape: [1, 8, 4096, 64] }
const plan = await api.POST('/v1/plan', {
  body: { endpoint: '/v1/attention', body: { q: shape, k: shape, v: shape } },
})
check(plan.data?.admitted && plan.data.flops > 1e9, plan)
console.log('called')
