/** The free list beside first fit as it is defined: the lowest hole that is large enough. */
import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import { FreeList } from './arena.ts'

/** Every address below the top, whether it is free. */
class Plainly {
  readonly #free: boolean[] = []

  take(bytes: number): number {
    let at = 0
    for (let length = 0, next = 0; next < this.#free.length && length < bytes; next++) {
      length = this.#free[next] ? length + 1 : 0
      at = next + 1 - length
    }
    const fits =
      this.#free.slice(at, at + bytes).length === bytes && !this.#free.slice(at, at + bytes).includes(false)
    const offset = fits ? at : this.#free.length
    for (let each = offset; each < offset + bytes; each++) this.#free[each] = false
    return offset
  }

  giveBack(offset: number, bytes: number): void {
    for (let each = offset; each < offset + bytes; each++) this.#free[each] = true
    while (this.#free.at(-1)) this.#free.pop()
  }
}

it('finds the lowest hole that is large enough, whatever was taken and given back', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(40), fc.boolean()), { maxLength: 300 }), orders => {
      const list = new FreeList(0)
      const plain = new Plainly()
      const held: { offset: number; bytes: number }[] = []
      for (const [number, give] of orders) {
        if (give && held.length > 0) {
          const [{ offset, bytes }] = held.splice(number % held.length, 1)
          list.giveBack(offset, bytes)
          plain.giveBack(offset, bytes)
          continue
        }
        const bytes = number + 1
        const offset = list.reuse(bytes) ?? list.extend(bytes)
        expect(offset).toBe(plain.take(bytes))
        held.push({ offset, bytes })
      }
    }),
  )
})
