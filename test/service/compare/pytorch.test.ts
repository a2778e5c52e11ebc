/** Right kernels pass: eager and flash-style evaluations of PyTorch, in three types, other blockings and orders (test/fixtures/compare). */
import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { type FileTensor, readFileTensors, writeFile } from '../safetensors-file.ts'
import { SAFETENSORS_TYPE, startServer } from '../server.ts'

const server = await startServer()

const FILE = new URL('../../fixtures/compare/kernels.safetensors', import.meta.url)
const { tensors } = readFileTensors(readFileSync(FILE))

const KERNELS = ['eager', 'eager-softmax-float32', 'sdpa', 'tiled-8', 'tiled-12-backwards']
const [ROWS, KEYS] = [17, 19]

const BODIES = {
  causal: { body: { causal: 'bottom_right' }, mask: undefined },
  mask: {
    body: {},
    mask: Uint8Array.from({ length: ROWS * KEYS }, (_, at) => Number((at % KEYS) % 4 !== 1)),
  },
}

const cases = Object.keys(BODIES).flatMap(problem =>
  ['float32', 'bfloat16', 'float16'].flatMap(dtype =>
    KERNELS.map(kernel => [problem, dtype, kernel] as [keyof typeof BODIES, string, string]),
  ),
)

it.each(cases)('%s, %s, %s', async (problem, dtype, kernel) => {
  const at = `${problem}.${dtype}`
  const { body, mask } = BODIES[problem]
  const sent: Record<string, FileTensor> = {
    'body.q': tensors[`${at}.q`],
    'body.k': tensors[`${at}.k`],
    'body.v': tensors[`${at}.v`],
    'body.backward.grad_output': tensors[`${at}.grad_output`],
  }
  if (mask !== undefined) sent['body.mask'] = { dtype: 'BOOL', shape: [ROWS, KEYS], data: mask }
  const prefix = `${at}.${kernel}.`
  for (const [name, tensor] of Object.entries(tensors)) {
    if (name.startsWith(prefix)) sent[`candidate.${name.slice(prefix.length)}`] = tensor
  }
  const request = JSON.stringify({ endpoint: '/v1/attention', body, candidate_dtype: dtype })
  const response = await fetch(`${server.url}/v1/compare`, {
    method: 'POST',
    headers: { 'content-type': SAFETENSORS_TYPE, accept: 'text/plain' },
    body: writeFile(sent, { request }),
  })
  const report = await response.text()
  expect([response.status, report]).toEqual([200, expect.stringMatching(/^PASS /)])
  expect(report).toMatch(/\ngrads\.v +PASS/)
})
