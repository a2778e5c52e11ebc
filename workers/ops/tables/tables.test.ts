import { describe, expect, it } from 'vitest'
import { alibiBias, highestPosition, ropeFrequencies, ropeTable, sinusoidalTable } from './kernel.ts'
import type { FrequencyRule } from './op.ts'

describe('position tables', () => {
  it.each([8, 7, 1])('sinusoids of dimension %i', dim => {
    const [positions, offset, base] = [5, 3, 100]
    const encoding = new Float64Array(positions * dim)
    sinusoidalTable({ encoding }, { positions, dim, base, offset }, 0, positions)
    for (let i = 0; i < positions; i++) {
      for (let j = 0; 2 * j < dim; j++) {
        const angle = (i + offset) / base ** ((2 * j) / dim)
        expect(encoding[i * dim + 2 * j]).toBe(Math.sin(angle))
        if (2 * j + 1 < dim) expect(encoding[i * dim + 2 * j + 1]).toBe(Math.cos(angle))
      }
    }
  })

  it('angles of places, by frequencies, times a factor; far ones keep their turns in float32', () => {
    const places = Int32Array.of(-5, 2 ** 31 - 1, 0)
    const frequencies = Float64Array.of(1, 0.1)
    const [cos, sin] = [new Float32Array(6), new Float32Array(6)]
    const args = { positions: 3, dims: 4, base: 1, offset: 100, factor: 0.5 }
    ropeTable({ places, frequencies, cos, sin }, args, 0, 2)
    ropeTable({ places, frequencies, cos, sin }, args, 2, 3)
    const angles = Array.from(places).flatMap(place => Array.from(frequencies, f => place * f))
    expect(Array.from(cos)).toEqual(angles.map(angle => Math.fround(0.5 * Math.cos(angle))))
    expect(Array.from(sin)).toEqual(angles.map(angle => Math.fround(0.5 * Math.sin(angle))))
  })

  it('the highest position is that of q and k', () => {
    const length = new Float64Array(1)
    const of = (q: number[] | undefined, k: number[] | undefined, least: number) => {
      const tensors = { q: q && Int32Array.from(q), k: k && Int32Array.from(k), length }
      highestPosition(tensors, { positions: 0, least }, 0, 1)
      return length[0]
    }
    expect([
      of([1, 9, 2], [3], 0),
      of([1], [2 ** 31 - 1], 0),
      of([-7], undefined, 0),
      of([3], [], 12),
    ]).toEqual([10, 2 ** 31, 0, 12])
  })

  it('frequencies are those of the lengths that the rules look at', () => {
    const dims = 8
    const of = (rule: FrequencyRule, length: number) => {
      const frequencies = new Float64Array(dims / 2)
      const lists = { short: Float64Array.of(1, 1, 2, 2), long: Float64Array.of(2, 3, 4, 5) }
      ropeFrequencies({ ...lists, frequencies }, { dims, length, rule }, 0, 1)
      ropeFrequencies({ ...lists, frequencies }, { dims, length, rule }, 1, dims / 2)
      return Array.from(frequencies)
    }
    const base = 10000
    const theta = of({ kind: 'default', base }, 0)
    expect(theta).toEqual([0, 1, 2, 3].map(j => base ** (-j / 4)))
    const dynamic: FrequencyRule = { kind: 'dynamic', base, factor: 2, most: 16 }
    expect([of(dynamic, 0), of(dynamic, 16)]).toEqual([theta, theta])
    // the slowest pair of 40 positions is interpolated by 2·40/16 − 1
    expect(of(dynamic, 40)[0]).toBe(1)
    expect(of(dynamic, 40)[3]).toBeCloseTo(theta[3] / 4, 15)
    const longrope: FrequencyRule = { kind: 'longrope', base, original: 16 }
    expect(of(longrope, 16)).toEqual([1, 1, 2, 2].map((scale, j) => theta[j] / scale))
    expect(of(longrope, 17)).toEqual([2, 3, 4, 5].map((scale, j) => theta[j] / scale))
  })

  it('biases fall with the distance', () => {
    const [heads, queries, keys] = [2, 3, 4]
    const bias = new Float64Array(heads * queries * keys).fill(Number.NaN)
    const slopes = Float64Array.of(0.5, 0.25)
    alibiBias({ slopes, bias }, { heads, queries, keys }, 0, 2)
    alibiBias({ slopes, bias }, { heads, queries, keys }, 2, 6)
    const rows = (slope: number) => [
      ...[0, -slope, -2 * slope, -3 * slope],
      ...[-slope, 0, -slope, -2 * slope],
      ...[-2 * slope, -slope, 0, -slope],
    ]
    expect(Array.from(bias)).toEqual([...rows(0.5), ...rows(0.25)])
  })
})
