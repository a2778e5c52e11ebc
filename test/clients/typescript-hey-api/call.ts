// @hey-api/openapi-ts with its fetch client on openapi.json
import { client } from './heyapi/client.gen.js'
import { attention, plan, transformer } from './heyapi/index.js'

const check = (ok: unknown, what: unknown) => {
  if (!ok) throw new Error(JSON.stringify(what))
}
client.setConfig({ baseUrl: process.env.SERVER })
const X = [
  [1, 0, 0, 0],
  [0, 1, 0, 0],
  [0, 0, 1, 0],
]
const answer = await attention({
  body: { q: X, k: X, v: X, return: ['output', 'weights'], backward: { target: X } },
})
const { weights, grads } = answer.data as { weights: number[][]; grads: { q: number[][] } }
check(weights[0][0] > weights[0][1] && grads.q.length === 3, answer.data)

const refused = await attention({ body: { q: X, k: [[1, 0]], v: X } })
check((refused.error as { code: string }).code === 'SHAPE_MISMATCH', refused.error)

const run = await transformer({
  body: { x: X, stack: { layers: 1, heads: 2, d_ff: 8, init: { seed: 1 } }, return: ['output', 'weights'] },
})
check((run.data as { layers: unknown[] }).layers.length === 1, run)

const shape = { shape: [1, 8, 4096, 64] }
const planned = await plan({ body: { endpoint: '/v1/attention', body: { q: shape, k: shape, v: shape } } })
check((planned.data as { admitted: boolean }).admitted, planned)
console.log('called')
