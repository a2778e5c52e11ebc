/** ONNX's own cases (onnx/make-cases.py), by every variant of the kernels, and what docs/conformance.md says of them. */
import { readFileSync } from 'node:fs'
import { afterAll, describe, expect, it } from 'vitest'
import { Problem } from '../../src/problem.ts'
import { SIMD_VARIANTS, type SimdVariant } from '../../workers/wasm/variants.ts'
import { float32 } from '../service/safetensors-file.ts'
import { faultOf, numbersOf } from './compare.ts'
import { readCases } from './onnx-cases.ts'
import { Pipeline } from './pipeline.ts'
import { readingOf } from './readings/index.ts'
import { runCases } from './run.ts'
import { scoreboard } from './scoreboard.ts'

const { version, cases } = readCases()
const VARIANTS = Object.keys(SIMD_VARIANTS) as SimdVariant[]
const pipelines = await Promise.all(
  VARIANTS.map(async KERNELS => ({ KERNELS, pipeline: await Pipeline.start({ KERNELS }) })),
)
const [{ pipeline }] = pipelines
afterAll(() => Promise.all(pipelines.map(each => each.pipeline.close())))

const awaited = cases.flatMap(of => (readingOf(of.operator).awaits?.(of) === undefined ? [] : [of]))

it('has all of them', () => {
  const counts = Map.groupBy(cases, ({ operator, opset }) => `${operator}-${opset}`)
  expect(Object.fromEntries([...counts].map(([key, { length }]) => [key, length]))).toEqual({
    'Attention-23': 69,
    'Attention-24': 13,
    'Attention-25': 11,
    'LinearAttention-27': 14,
    'RotaryEmbedding-23': 8,
    'RMSNormalization-23': 19,
    'LayerNormalization-17': 19,
  })
  expect(new Set(cases.map(({ name }) => name)).size).toBe(cases.length)
})

it.each(pipelines)('they pass: $KERNELS', async each => {
  const outcomes = await runCases(each.pipeline, cases)
  expect(outcomes.filter(({ faults }) => faults.length > 0)).toEqual([])
  expect(readFileSync(new URL('../../docs/conformance.md', import.meta.url), 'utf8')).toContain(
    `\n${scoreboard(version, outcomes)}\n`,
  )
})

it('compares every output but two that the service has not', () => {
  const left = cases.flatMap(of => readingOf(of.operator).without ?? [])
  expect([...new Set(left)]).toEqual(['Mean', 'InvStdDev'])
})

it.each(awaited)('$name awaits what is not there yet', async of => {
  await expect(pipeline.ask(readingOf(of.operator).read(of))).rejects.toThrow(Problem)
})

describe('a comparison', () => {
  const right = float32([0, 1, -3, Number.NEGATIVE_INFINITY], [2, 2])

  it('passes what is equal, and what is a few roundings of the largest element away', () => {
    expect(faultOf(right, right)).toBeUndefined()
    expect(faultOf(float32([5e-8, 1, -3 + 2e-6, Number.NEGATIVE_INFINITY], [2, 2]), right)).toBeUndefined()
  })

  it.each([
    ['a further element', float32([0, 1, -3 + 1e-5, Number.NEGATIVE_INFINITY], [2, 2])],
    ['a small element that is wrong', float32([2e-7, 1, -3, Number.NEGATIVE_INFINITY], [2, 2])],
    ['a number for −∞', float32([0, 1, -3, -3.4e38], [2, 2])],
    ['−∞ for a number', float32([0, Number.NEGATIVE_INFINITY, -3, Number.NEGATIVE_INFINITY], [2, 2])],
    ['NaN', float32([0, 1, Number.NaN, Number.NEGATIVE_INFINITY], [2, 2])],
    ['another shape', float32([0, 1, -3, Number.NEGATIVE_INFINITY], [4])],
    ['another type', { dtype: 'F16', shape: [2, 2], data: new Uint8Array(8) }],
  ])('finds %s', (_what, got) => {
    expect(faultOf(got, right)).toBeDefined()
  })

  it('allows float16 and bfloat16 one unit of the largest element', () => {
    const half = (words: number[], dtype: string) => ({
      dtype,
      shape: [2],
      data: new Uint8Array(Uint16Array.from(words).buffer),
    })
    expect(numbersOf(half([0x3c00, 0xc000], 'F16'))).toEqual([1, -2])
    expect(faultOf(half([0x3c01, 0xc000], 'F16'), half([0x3c00, 0xc000], 'F16'))).toBeUndefined()
    expect(faultOf(half([0x3c03, 0xc000], 'F16'), half([0x3c00, 0xc000], 'F16'))).toBeDefined()
    expect(numbersOf(half([0x3f80, 0xc000], 'BF16'))).toEqual([1, -2])
    expect(faultOf(half([0x3f81, 0xc000], 'BF16'), half([0x3f80, 0xc000], 'BF16'))).toBeUndefined()
    expect(faultOf(half([0x3f84, 0xc000], 'BF16'), half([0x3f80, 0xc000], 'BF16'))).toBeDefined()
  })
})
