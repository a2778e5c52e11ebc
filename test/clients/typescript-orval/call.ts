// orval with its fetch client on openapi-3.0.json
import { attention, plan, transformer } from './orval/api.js'

const check = (ok: unknown, what: unknown) => {
  if (!ok) throw new Error(JSON.stringify(what))
}
const X = [
  [1, 0, 0, 0],
  [0, 1, 0, 0],
  [0, 0, 1, 0],
]
const answer = await attention({ q: X, k: X, v: X, return: ['output', 'weights'], backward: { target: X } })
if (answer.status !== 200) throw new Error(JSON.stringify(answer))
const weights = answer.data.weights as number[][]
check(
  weights[0][0] > weights[0][1] && (answer.data.grads?.q as number[][] | undefined)?.length === 3,
  answer.data,
)

const refused = await attention({ q: X, k: [[1, 0]], v: X })
check(refused.status === 400 && refused.data.code === 'SHAPE_MISMATCH', refused)

const stack = { layers: 1, heads: 2, d_ff: 8, init: { seed: 1 } }
const run = await transformer({ x: X, stack, return: ['output', 'weights'] })
check(run.status === 200 && run.data.layers?.length === 1, run)

const shape = { shape: [1, 8, 4096, 64] }
const planned = await plan({ endpoint: '/v1/attention', body: { q: shape, k: shape, v: shape } })
check(planned.status === 200 && planned.data.admitted, planned)
console.log('called')
