/**
 * Gradients in float32 beside those in float64 (which families.test.ts holds to transformers): by the median over many batches they err at most
 * twice what transformers' own float32 evaluation does. One batch is one draw, for its gradients err together.
 */
import { expect, it } from 'vitest'
import { type FileTensor, values } from '../safetensors-file.ts'
import { startServer } from '../server.ts'
import { forward, MODELS, NAMES, PLAIN, readFixture } from './fixture.ts'

const BATCHES = 24
const ROWS = 2
const ROUNDING = 2 ** -24
const LENGTH = 9

const server = await startServer({ MODELS_DIR: MODELS })

it.each(NAMES)('%s: gradients in float32 err at most twice what plain ones do', async name => {
  const fixture = readFixture(name)
  const { kind, token } = fixture
  const of = { kind: 'log_probability', position: kind === 'masked' ? 2 : -1, token }
  const backward = { of, wrt: ['embeddings', 'params'] }
  const errors = new Map<string, number[]>()
  const sizes = new Map<string, number>()
  for (let batch = 0; batch < BATCHES; batch++) {
    const drawn = {
      ...fixture,
      tensors: { token_ids: drawIds(batch), attention_mask: integers(new Array(ROWS * LENGTH).fill(1)) },
    }
    const [got, right] = await Promise.all(
      (['float32', 'float64'] as const).map(precision =>
        forward(server, drawn, { return: [], backward, precision }),
      ),
    )
    for (const [key, gradient] of Object.entries(got.tensors)) {
      errors.set(key, [...(errors.get(key) ?? []), rootMeanSquare(gradient, right.tensors[key])])
      sizes.set(key, Math.max(sizes.get(key) ?? 0, ...values(right.tensors[key]).map(Math.abs)))
    }
  }
  const wanted = Object.keys(PLAIN[name]).filter(key => key.startsWith('grads.'))
  expect([...errors.keys()].sort()).toEqual(wanted.sort())
  const over = [...errors].flatMap(([key, each]) => {
    const [ours, theirs] = [median(each), PLAIN[name][key]]
    // what is added to every key moves no weight: there is rounding alone, of terms as large as other gradients
    const nothing = (sizes.get(key) as number) < 1e-12
    const budget = nothing ? ROUNDING * Math.max(...sizes.values()) : 2 * theirs
    return ours <= budget ? [] : [`${key}: ${ours} > ${budget}`]
  })
  expect(over).toEqual([])
})

/** As make-model-errors.py draws them. */
function drawIds(batch: number): FileTensor {
  const ids = Array.from({ length: ROWS * LENGTH }, (_, at) => {
    const hash = Math.imul(batch * ROWS * LENGTH + at, 2654435761) >>> 0
    return ((hash >>> 8) % 91) + 5
  })
  return integers(ids)
}

function integers(numbers: number[]): FileTensor {
  return { dtype: 'I32', shape: [ROWS, LENGTH], data: new Uint8Array(Int32Array.from(numbers).buffer) }
}

function rootMeanSquare(got: FileTensor, right: FileTensor): number {
  const truth = values(right)
  return Math.sqrt(values(got).reduce((sum, value, at) => sum + (value - truth[at]) ** 2, 0) / truth.length)
}

function median(numbers: number[]): number {
  const sorted = numbers.toSorted((a, b) => a - b)
  const half = sorted.length / 2
  return (sorted[half - 1] + sorted[half]) / 2
}
