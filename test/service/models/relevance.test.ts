/** Relevance, figures of heads and strongest keys, from the maps and gradients that the same model answers. */
import { describe, expect, it } from 'vitest'
import { values } from '../safetensors-file.ts'
import { startServer } from '../server.ts'
import { forward, MODELS, NAMES, readFixture } from './fixture.ts'

const server = await startServer({ MODELS_DIR: MODELS })
const precision = 'float64'

describe.each(NAMES)('%s', name => {
  const fixture = readFixture(name)
  const { tensors: expected, kind, token, lengths } = fixture
  const position = kind === 'masked' ? 2 : -1
  const of = { kind: 'logit', position, token }
  const rows = lengths.map(length => (position === -1 ? length - 1 : position))
  const ask = (request: object) => forward(server, fixture, { precision, return: [], ...request })
  const [batch, positions] = expected.token_ids.shape
  const close = (got: number[], right: number[]) => {
    expect(got).toHaveLength(right.length)
    for (const [at, value] of right.entries()) expect(got[at]).toBeCloseTo(value, 9)
  }

  it('multiplies embeddings with their gradients', async () => {
    const { tensors } = await ask({ relevance: { method: 'input_x_gradient', of } })
    const [x, grad] = [values(expected.embeddings), values(expected['grads.logit.embeddings'])]
    const dim = expected.embeddings.shape[2]
    const right = Array.from({ length: batch * positions }, (_, row) => {
      return Array.from({ length: dim }, (_, d) => x[row * dim + d] * grad[row * dim + d]).reduce(
        (a, b) => a + b,
      )
    })
    close(values(tensors.relevance), right)
  })

  it.each(['float64', 'float32'])('integrates gradients completely in %s', async precision => {
    const { tensors } = await ask({ precision, relevance: { method: 'integrated_gradients', of } })
    const relevance = values(tensors.relevance)
    const [end, begin] = [values(expected['value.logit']), values(expected['value.zero'])]
    for (let b = 0; b < batch; b++) {
      const sum = relevance.slice(b * positions, (b + 1) * positions).reduce((a, c) => a + c)
      expect(Math.abs(sum - (end[b] - begin[b]))).toBeLessThan(0.01 * Math.abs(end[b] - begin[b]))
    }
  })

  if (kind === 'text') {
    it('has no rollout, for there are two stacks', async () => {
      await expect(ask({ relevance: {} })).rejects.toThrow(/400.*relevance\/method/)
    })
    return
  }

  it('rolls attention out', async () => {
    const { tensors } = await ask({ return: ['weights'], relevance: { of } })
    const right = rows.flatMap((row, b) => {
      let v = Array.from({ length: positions }, (_, i) => Number(i === row))
      for (let layer = layersOf(tensors) - 1; layer >= 0; layer--) {
        const w = values(tensors[`layers.${layer}.weights`])
        v = v.map((own, j) => {
          let sum = 0
          for (let h = 0; h < 4; h++)
            for (let i = 0; i < positions; i++) sum += v[i] * w[((b * 4 + h) * positions + i) * positions + j]
          return 0.5 * own + (0.5 * sum) / 4
        })
      }
      return v
    })
    close(values(tensors.relevance), right)
  })

  it('sums the positive products of weights and their gradients', async () => {
    const method = 'gradient_x_attention'
    const { tensors } = await ask({
      return: ['weights'],
      emit: ['grad_weights'],
      backward: { of },
      relevance: { method, of },
    })
    const right = new Array(batch * positions).fill(0)
    for (let layer = 0; layer < layersOf(tensors); layer++) {
      const [w, g] = ['weights', 'grad_weights'].map(each => values(tensors[`layers.${layer}.${each}`]))
      for (const [b, row] of rows.entries()) {
        for (let h = 0; h < 4; h++) {
          for (let j = 0; j < positions; j++) {
            const at = ((b * 4 + h) * positions + row) * positions + j
            right[b * positions + j] += Math.max(0, w[at] * g[at])
          }
        }
      }
    }
    close(values(tensors.relevance), right)
  })
})

function layersOf(tensors: object): number {
  return Object.keys(tensors).filter(key => /^layers\.\d+\.weights$/.test(key)).length
}

describe('readings', () => {
  const fixture = readFixture('bert')
  const { lengths } = fixture
  // three tokens come twice, for a head that looks for what followed one before
  const ids = [5, 6, 7, 5, 6, 7, 8, 9, 10, 11, 12, 11, 12, 11, 12, 0, 0, 0]
  const data = new Uint8Array(Int32Array.from(ids).buffer)
  fixture.tensors.token_ids = { dtype: 'I32', shape: [2, 9], data }

  it('are means over real rows', async () => {
    const request = { precision, return: ['weights', 'head_metrics'], layers: [1], heads: [2, 0] }
    const { tensors, response } = await forward(server, fixture, request)
    const w = values(tensors['layers.0.weights'])
    const [layer] = response.layers as { index: number; head_metrics: Record<string, number>[] }[]
    expect(layer.index).toBe(1)
    expect(layer.head_metrics.map(({ index }) => index)).toEqual([2, 0])
    for (const [place, figures] of layer.head_metrics.entries()) {
      const sums: Record<string, number> = {
        rows: 0,
        entropy: 0,
        mean_distance: 0,
        previous_token: 0,
        first_token: 0,
        self: 0,
        induction: 0,
      }
      for (const [b, length] of lengths.entries()) {
        for (let i = 0; i < length; i++) {
          const row = w.slice(((b * 2 + place) * 9 + i) * 9).slice(0, 9)
          sums.rows++
          for (const [j, value] of row.entries()) {
            if (value > 0) sums.entropy -= value * Math.log(value)
            sums.mean_distance += value * Math.abs(i - j)
            if (j === i - 1) sums.previous_token += value
            if (j === 0) sums.first_token += value
            if (j === i) sums.self += value
            if (j > 0 && j <= i && ids[b * 9 + j - 1] === ids[b * 9 + i]) sums.induction += value
          }
        }
      }
      for (const [key, sum] of Object.entries(sums))
        expect(figures[key], key).toBeCloseTo(key === 'rows' ? sum : sum / sums.rows, 9)
      expect(figures.special_token).toBe(0)
    }
  })

  it('have the strongest keys of each row in place of maps', async () => {
    const whole = await forward(server, fixture, { precision, return: ['weights'] })
    const { tensors } = await forward(server, fixture, { precision, return: [], top_keys: { k: 3 } })
    expect(tensors['layers.0.weights']).toBeUndefined()
    const w = values(whole.tensors['layers.1.weights'])
    const [indices, strongest] = ['indices', 'weights'].map(each =>
      values(tensors[`layers.1.top_keys.${each}`]),
    )
    expect(tensors['layers.1.top_keys.indices'].shape).toEqual([2, 4, 9, 3])
    for (let row = 0; row < 72; row++) {
      const own = w.slice(row * 9, row * 9 + 9)
      const order = own.map((_, j) => j).sort((a, b) => own[b] - own[a])
      expect(indices.slice(row * 3, row * 3 + 3)).toEqual(order.slice(0, 3))
      expect(strongest.slice(row * 3, row * 3 + 3)).toEqual(order.slice(0, 3).map(j => own[j]))
    }
  })
})
