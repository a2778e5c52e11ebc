/** Requests in a dialect against what the library itself gives (test/fixtures/make-dialect-fixtures.py), forward and backward. */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { runProgram } from '../../../../test/support/run-program.ts'

type Nested = number | string | Nested[]

interface Case {
  name: string
  endpoint: string
  request: object
  expected: Record<string, Nested>
  tolerance: number
}

function fixture(group: string): { versions: Record<string, string>; cases: Case[] } {
  const url = new URL(`../../../../test/fixtures/dialects-${group}.json`, import.meta.url)
  return JSON.parse(readFileSync(url, 'utf8'))
}

const shapeOf = (value: Nested): number[] =>
  Array.isArray(value) ? [value.length, ...(value.length > 0 ? shapeOf(value[0]) : [])] : []

const flat = (value: Nested): number[] =>
  Array.isArray(value) ? value.flatMap(flat) : [typeof value === 'number' ? value : Number(value)]

describe.each(['torch', 'onnx', 'jax'])('%s', group => {
  it.each(fixture(group).cases.map(each => [each.name, each] as const))(
    '%s',
    async (_, { endpoint, request, expected, tolerance }) => {
      const { tensors } = await runProgram(endpoint, { ...request, precision: 'float64' })
      for (const [name, wanted] of Object.entries(expected)) {
        const { shape, data } = tensors[name]
        expect([name, shape]).toEqual([name, shapeOf(wanted)])
        for (const [at, value] of flat(wanted).entries()) {
          if (Number.isNaN(value)) expect([name, at, data[at]]).toEqual([name, at, Number.NaN])
          else
            expect(Math.abs(data[at] - value), `${name} at ${at}: ${data[at]}, ${value}`).toBeLessThan(
              tolerance,
            )
        }
      }
    },
  )
})
