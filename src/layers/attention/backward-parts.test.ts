/** Where heads are few, the backward pass goes through their keys in parts, so that the cores can share one request. */
import { describe, expect, it } from 'vitest'
import { drawer, type Flat } from '../../../test/support/layer-cases.ts'
import { runProgram } from '../../../test/support/run-program.ts'

const draw = drawer(7)
/** Five key blocks, the last incomplete. */
const [queries, keys, dim] = [59, 421, 5]
const head = { q: draw(queries, dim), k: draw(keys, dim), v: draw(keys, dim), grad: draw(queries, dim) }

/** A causal request whose heads are all the same. */
function request(heads: number) {
  const stacked = ({ shape, data }: Flat) => {
    const copies = Array.from({ length: heads }, () => data)
    return { shape: [1, heads, ...shape], data: copies.flat() }
  }
  return runProgram('/v1/attention', {
    q: stacked(head.q),
    k: stacked(head.k),
    v: stacked(head.v),
    causal: 'bottom_right',
    precision: 'float64',
    backward: { grad_output: stacked(head.grad) },
  })
}

async function chains(heads: number): Promise<number> {
  const { program } = await request(heads)
  const steps = program.stages.flat().filter(step => step.op === 'attentionBackward')
  return steps[0].units / steps[0].chain
}

describe('the backward pass of few heads', () => {
  it('has chains for the cores to share, however few the heads', async () => {
    const counts: number[] = []
    for (const heads of [1, 2, 3, 4, 8]) counts.push(await chains(heads))
    expect(counts).toEqual([2, 4, 6, 4, 8])
  })

  it('computes what it computes for many heads', async () => {
    const [one, many] = [await request(1), await request(4)]
    for (const name of ['grads.q', 'grads.k', 'grads.v']) {
      const { data } = one.tensors[name]
      const largest = Math.max(...data.map(Math.abs))
      const error = Math.max(...data.map((value, i) => Math.abs(value - many.tensors[name].data[i])))
      expect(error / largest, name).toBeLessThan(1e-12)
    }
  })

  it('has one part where there are no heads, however many the keys', async () => {
    const empty = (rows: number) => ({ shape: [0, 1, rows, 4], dtype: 'float32', base64: '' })
    const { tensors } = await runProgram('/v1/attention', {
      q: empty(2 ** 30),
      k: empty(2 ** 28),
      v: empty(2 ** 28),
      backward: { target: empty(2 ** 30) },
    })
    expect(tensors['grads.q'].shape).toEqual([0, 1, 2 ** 30, 4])
    expect(tensors['grads.k'].data).toEqual([])
  })
})
