/**
 * Whole layers on the SIMD kernels beside the same on the reference kernels, at awkward sizes: nothing is written outside
 * of a program's memory (the runner checks), and nothing is off by more than roundings add up to. The kernels' own
 * accuracy is held to its budget kernel by kernel, and the layers' against an outside reference.
 */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { drawer } from '../../test/support/layer-cases.ts'
import { runProgram } from '../../test/support/run-program.ts'

/** A wrong lane or term is off by a thousandth at least; roundings through two layers by a millionth. */
const TOLERANCE = 1e-4

async function expectClose(path: string, body: Record<string, unknown>): Promise<void> {
  const [single, double] = [
    await runProgram(path, body),
    await runProgram(path, { ...body, precision: 'float64' }),
  ]
  // some gradients are nothing but rounding (a bias of the keys moves no weight), so all are judged by the largest
  const scale = (prefix: string) =>
    Object.entries(double.tensors).flatMap(([name, { data }]) =>
      name.startsWith(prefix) ? [Math.max(0, ...data.map(Math.abs))] : [],
    )
  for (const [name, { data }] of Object.entries(double.tensors)) {
    const largest = Math.max(1e-3, ...scale(name.startsWith('grads.') ? 'grads.' : name))
    const error = Math.max(0, ...data.map((value, i) => Math.abs(value - single.tensors[name].data[i])))
    expect(error / largest, name).toBeLessThan(TOLERANCE)
  }
}

const size = fc.constantFrom(1, 3, 17, 59, 97, 111)

describe('float32 beside float64', () => {
  it('multi-head attention', async () => {
    const cases = fc.record({
      n: size,
      m: size,
      dModel: size,
      dContext: size,
      d_k: size,
      d_out: size,
      seed: fc.nat(999),
    })
    await fc.assert(
      fc.asyncProperty(cases, async ({ n, m, dModel, dContext, d_k, d_out, seed }) => {
        const draw = drawer(seed + 1)
        await expectClose('/v1/multi-head-attention', {
          x: draw(2, n, dModel),
          context: draw(2, m, dContext),
          heads: 4,
          kv_heads: 2,
          d_k,
          d_out,
          init: { seed, bias: true },
          backward: { target: draw(2, n, d_out) },
        })
      }),
      { numRuns: 25 },
    )
  })

  it('a transformer stack', async () => {
    const cases = fc.record({
      n: size,
      d_ff: size,
      heads: fc.constantFrom(1, 2, 3),
      share: fc.constantFrom(1, 5, 16, 33),
      norm: fc.constantFrom('pre', 'post', 'sandwich'),
      head_dim: fc.constantFrom(undefined, 6, 17),
      window: fc.constantFrom<unknown>(undefined, [{ left: 5 }, null]),
      context: fc.boolean(),
      norm_kind: fc.constantFrom('layer', 'rms'),
      activation: fc.constantFrom('gelu', 'gelu_tanh', 'silu', 'swiglu', 'geglu'),
      seed: fc.nat(999),
    })
    await fc.assert(
      fc.asyncProperty(cases, async ({ n, heads, share, seed, context, ...more }) => {
        const draw = drawer(seed + 1)
        const dModel = heads * share
        await expectClose('/v1/transformer', {
          stack: { ...more, heads, layers: 2, norm_eps: 0.1, init: { seed, bias: true } },
          x: draw(2, n, dModel),
          ...(context && { context: draw(2, 23, 7), context_lengths: [23, 11] }),
          backward: { target: draw(2, n, dModel) },
        })
      }),
      { numRuns: 25 },
    )
  })
})
