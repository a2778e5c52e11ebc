/** Every family against transformers 5 in float64: hidden states, every map, logits, gradients of embeddings and of every parameter. */
import { describe, expect, it } from 'vitest'
import { startServer } from '../server.ts'
import { below, forward, MODELS, NAMES, overBudget, readFixture, worst, worstReal } from './fixture.ts'

const TOLERANCE = 1e-9

const server = await startServer({ MODELS_DIR: MODELS })

describe.each(NAMES)('%s', name => {
  const fixture = readFixture(name)
  const { tensors: expected, kind, token } = fixture
  const text = kind === 'text'
  const position = kind === 'masked' ? 2 : -1
  const cross = text ? ['cross_weights'] : []
  const states = { return: ['output', 'weights', 'hidden', 'logits', ...cross] }

  it.each(['float64', 'float32'] as const)(
    'has the states, maps and logits of transformers in %s',
    async precision => {
      const { tensors } = await forward(server, fixture, { ...states, precision })
      const wanted = Object.entries(expected).filter(([key]) =>
        /^(encoder\.)?(hidden|layers)\.|^logits$/.test(key),
      )
      expect(wanted.length).toBeGreaterThan(5)
      if (precision === 'float32') {
        expect(overBudget(fixture, wanted, key => tensors[key])).toEqual([])
        return
      }
      for (const [key, right] of wanted) {
        expect(worstReal(tensors[key], right, fixture.lengths), key).toBeLessThan(TOLERANCE)
      }
    },
  )

  it('has the gradients of transformers in float64', async () => {
    const of = { kind: 'log_probability', position, token }
    const backward = { of, wrt: ['embeddings', 'params'] }
    const precision = 'float64'
    const { tensors, response } = await forward(server, fixture, { return: [], backward, precision })
    const wanted = below(expected, 'grads.log_probability.').map(
      ([key, right]) => [`grads.${key}`, right] as const,
    )
    for (const [key, right] of wanted) {
      expect(tensors[key], key).toBeDefined()
      expect(worst(tensors[key], right), key).toBeLessThan(TOLERANCE)
    }
    const params = (keys: string[]) => keys.filter(key => key.startsWith('grads.params.')).sort()
    expect(params(Object.keys(tensors))).toEqual(params(wanted.map(([key]) => key)))
    expect(response.values).toHaveLength(2)
  })

  it('differentiates a logit, a vector of the text, and the output', async () => {
    const precision = 'float64'
    const logit = await forward(server, fixture, {
      precision,
      return: [],
      backward: { of: { kind: 'logit', position, token } },
    })
    expect(worst(logit.tensors['grads.embeddings'], expected['grads.logit.embeddings'])).toBeLessThan(
      TOLERANCE,
    )
    if (text) return
    for (const [kind, field, tensor] of [
      ['embedding', 'target', expected.target],
      ['output', 'grad_output', expected.grad_output],
    ] as const) {
      const request = { precision, return: [], backward: { of: { kind } } }
      const { tensors } = await forward(server, fixture, request, { [`backward.of.${field}`]: tensor })
      const key = `grads.${kind}.embeddings`
      expect(worst(tensors['grads.embeddings'], expected[key]), key).toBeLessThan(TOLERANCE)
    }
    for (const pooling of ['mean', 'cls', 'last']) {
      const { tensors } = await forward(server, fixture, { precision, return: ['embedding'], pooling })
      expect(worst(tensors.embedding, expected[`embedding.${pooling}`]), pooling).toBeLessThan(TOLERANCE)
    }
  })
})
