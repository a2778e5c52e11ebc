/** Files of tensors: what is written is read, and no damage does more than a refusal at a place of the file. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseSafetensors, safetensorsHeader } from '../../src/formats/safetensors.ts'
import { scan, shared } from '../support/text-memory.ts'
import { runs } from './runs.ts'

const BYTES = { float32: 4, float64: 8, float16: 2, bfloat16: 2 } as const

const entries = fc.uniqueArray(
  fc.record({
    name: fc.oneof(
      fc
        .string({ unit: 'binary', minLength: 1 })
        .filter(name => !['__metadata__', '__proto__'].includes(name)),
      fc.constantFrom('q', 'backward.target', 'params.layers.0.norm1.gamma', 'a/b', '~', '0'),
    ),
    dtype: fc.constantFrom('float32' as const, 'float64' as const, 'float16' as const, 'bfloat16' as const),
    shape: fc.array(fc.nat(3), { maxLength: 5 }),
  }),
  { selector: ({ name }) => name, maxLength: 5 },
)

const files = fc
  .tuple(
    entries,
    fc.dictionary(
      fc.string({ minLength: 1 }).filter(key => key !== '__proto__'),
      fc.string(),
    ),
  )
  .map(([list, metadata]) => {
    const header = safetensorsHeader(list, metadata)
    const size = list.reduce(
      (sum, { dtype, shape }) => sum + shape.reduce((count, extent) => count * extent, BYTES[dtype]),
      0,
    )
    return { list, metadata, file: Buffer.concat([header, Buffer.alloc(size, 7)]) }
  })

const read = (file: Uint8Array) => parseSafetensors(shared(file), scan)

describe('safetensors', () => {
  it('come back as they were written', () => {
    fc.assert(
      fc.property(files, ({ list, metadata, file }) => {
        const found = read(file)
        if (!found.ok) throw new Error(found.message)
        expect(found.metadata).toEqual(metadata)
        const names = found.tensors.map(({ name }) => name)
        expect(names.toSorted()).toEqual(list.map(({ name }) => name).toSorted())
        let next = file.length
        for (const { name, dtype, shape, start, end } of found.tensors) {
          expect({ name, dtype, shape }).toEqual(list.find(entry => entry.name === name))
          expect(end - start).toBe(shape.reduce((count, extent) => count * extent, BYTES[dtype as 'float32']))
          expect(end).toBeLessThanOrEqual(file.length)
          next = Math.min(next, start)
        }
        expect(next).toBeGreaterThanOrEqual(8 + Number(file.readBigUInt64LE(0)))
      }),
      runs(0.25),
    )
  })

  it('are read or refused when bytes of them are changed, lost or added', () => {
    const damage = fc.record({
      bytes: fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }),
      end: fc.oneof({ weight: 3, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: fc.nat() }),
      more: fc.uint8Array({ maxLength: 3 }),
    })
    fc.assert(
      fc.property(files, damage, ({ file }, { bytes, end, more }) => {
        const bad = Buffer.from(file)
        for (const [at, byte] of bytes) bad[at % bad.length] = byte
        const found = read(
          Buffer.concat([bad.subarray(0, end === undefined ? bad.length : end % (bad.length + 1)), more]),
        )
        if (found.ok) {
          for (const { shape, dtype, start, end } of found.tensors) {
            expect(shape.every(extent => Number.isSafeInteger(extent) && extent >= 0)).toBe(true)
            expect(start).toBeLessThanOrEqual(end)
            expect(end).toBeLessThanOrEqual(bad.length + more.length)
            expect(typeof dtype).toBe('string')
          }
        } else {
          expect(found.message).not.toBe('')
          expect(found.pointer).toMatch(/^(\/.*)?$/s)
        }
      }),
      runs(0.5),
    )
  })
})
