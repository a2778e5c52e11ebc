/** Random numbers of a seed, and the nouns that a sentence has drawn. */

/** Numbers in [0, 1), the same ones of a seed on every machine (mulberry32). */
export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed
  }

  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let bits = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32
  }

  below(count: number): number {
    return Math.floor(this.next() * count)
  }

  happens(probability: number): boolean {
    return this.next() < probability
  }

  /** Normally distributed (Box and Muller). */
  normal(): number {
    return Math.sqrt(-2 * Math.log(1 - this.next())) * Math.cos(2 * Math.PI * this.next())
  }
}

/** What one sentence is drawn from. */
export class Draw {
  readonly #random: Random
  /** the nouns of the sentence so far, in singular */
  readonly nouns: string[] = []
  /** what each of them was one of */
  readonly lists: (readonly string[])[] = []

  constructor(random: Random) {
    this.#random = random
  }

  /** One that the sentence does not have yet. */
  noun(from: readonly string[]): string {
    for (;;) {
      const noun = this.pick(from)
      if (this.nouns.includes(noun)) continue
      this.nouns.push(noun)
      this.lists.push(from)
      return noun
    }
  }

  pick<T>(from: readonly T[]): T {
    return from[this.#random.below(from.length)]
  }

  happens(probability: number): boolean {
    return this.#random.happens(probability)
  }
}

/**
 * A kind of sentence. Its text marks a pronoun with _ and its noun with *, and with { } what another word decides: the number of a
 * verb, a particle, an honorific ending.
 */
export type Frame = (draw: Draw) => string
