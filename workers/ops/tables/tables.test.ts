import { describe, expect, it } from 'vitest'
import { alibiBias, sinusoidalTable } from './kernel.ts'

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
