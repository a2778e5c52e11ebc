/**
 * The worked example with types from the OpenAPI document (`api.d.ts`, made by `npm run generate` in this folder).
 *
 *   node attention.ts [server]
 */
import type { components, paths } from './api.d.ts'

type Post<Path extends keyof paths> = paths[Path] extends {
  post: {
    requestBody: { content: { 'application/json': infer Request } }
    responses: { 200: { content: { 'application/json': infer Answer } } }
  }
}
  ? { request: Request; answer: Answer }
  : never

const server = process.argv[2] ?? 'http://127.0.0.1:8080'

async function post<Path extends '/v1/attention' | '/v1/plan'>(
  path: Path,
  request: Post<Path>['request'],
): Promise<Post<Path>['answer']> {
  const response = await fetch(server + path, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(request),
  })
  if (response.ok) return (await response.json()) as Post<Path>['answer']
  const problem = (await response.json()) as components['schemas']['Problem']
  throw new Error(`${problem.code}: ${problem.detail}`)
}

const tokens = [
  [1, 0, 0, 0],
  [0, 1, 0, 0],
  [0, 0, 1, 0],
]
const answer = await post('/v1/attention', {
  q: tokens,
  k: tokens,
  v: tokens,
  return: ['output', 'weights'],
  backward: { target: tokens },
})
console.log('loss', answer.loss)
console.log('weights')
console.table(answer.weights)
console.log('gradient of v')
console.table(answer.grads?.v)

const shape = [1, 8, 4096, 64]
const plan = await post('/v1/plan', {
  endpoint: '/v1/attention',
  body: { q: { shape }, k: { shape }, v: { shape }, causal: true },
})
console.log(`a causal ${shape.join('×')} would take ${(plan.flops / 1e9).toFixed(1)} GFLOP`)
