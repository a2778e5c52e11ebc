/** An address brings back the state it was written from. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { EXAMPLES } from '../../web/src/attention/examples.ts'
import {
  type AttentionState,
  CAUSAL,
  readState,
  WORKED_EXAMPLE,
  writeState,
} from '../../web/src/attention/state.ts'
import {
  INITIAL,
  type LayersState,
  LIMITS,
  NORMS,
  POSITIONS,
  readLayers,
  writeLayers,
} from '../../web/src/layers/state.ts'
import { readAddress, SEEDED, writeAddress } from '../../web/src/page/address.ts'

function throughAddress(state: AttentionState): AttentionState {
  return readState(readAddress(writeAddress({ view: 'attention', params: writeState(state) })).params)
}

const number = fc.double({ noNaN: true, noDefaultInfinity: true }).map(value => value + 0)
const size = fc.integer({ min: 1, max: 12 })
const matrix = (rows: number, cols: number) =>
  fc.array(fc.array(number, { minLength: cols, maxLength: cols }), { minLength: rows, maxLength: rows })
const matrices = fc
  .tuple(size, size, size, size)
  .chain(([n, m, d, e]) =>
    fc.record({ q: matrix(n, d), k: matrix(m, d), v: matrix(m, e), target: matrix(n, e) }),
  )
const token = fc
  .string({ unit: 'grapheme', minLength: 1, maxLength: 6 })
  .filter(text => text.trim() === text && !/\s/.test(text))
const shared = fc.record({
  causal: fc.constantFrom(...CAUSAL),
  padding: fc.integer({ min: 0, max: 64 }),
  window: fc.option(
    fc.record({ left: fc.integer({ min: 0, max: 64 }), right: fc.integer({ min: 0, max: 64 }) }),
    {
      nil: undefined,
    },
  ),
  gradients: fc.boolean(),
  cell: fc.option(fc.record({ matrix: fc.constant('weights'), row: fc.nat(63), col: fc.nat(63) }), {
    nil: undefined,
  }),
})

const sentences = fc.option(fc.string({ unit: 'grapheme', maxLength: 300 }), { nil: undefined })
const modelNames = fc.constantFrom('lesson', 'a&b=c', '모델')
const range = ([min, max]: readonly [number, number]) => fc.integer({ min, max })

describe('the address of a run', () => {
  it('keeps its state', () => {
    const states = fc.record<LayersState>({
      model: fc.constant(SEEDED),
      sentence: sentences,
      tokens: range([0, LIMITS.tokens[1]]),
      layers: range(LIMITS.layers),
      heads: range(LIMITS.heads),
      dimHead: range(LIMITS.dimHead),
      seed: range(LIMITS.seed),
      position: fc.constantFrom(...POSITIONS),
      norm: fc.constantFrom(...NORMS),
      causal: fc.boolean(),
      backward: fc.boolean(),
      log: fc.boolean(),
      fold: fc.boolean(),
      run: fc.boolean(),
      row: range([0, LIMITS.tokens[1] - 1]),
      selected: fc.constantFrom(undefined, { layer: 0, head: 0 }),
    })
    const ofModels = fc.record({
      model: modelNames,
      sentence: sentences,
      fold: fc.boolean(),
      run: fc.boolean(),
      selected: fc.constantFrom(undefined, { layer: 20, head: 31 }),
    })
    fc.assert(
      fc.property(
        fc.oneof(
          states,
          ofModels.map(chosen => ({ ...INITIAL, ...chosen })),
        ),
        state => {
          const address = writeAddress({ view: 'layers', params: writeLayers(state) })
          expect(readAddress(address).view).toBe('layers')
          expect(readLayers(readAddress(address).params)).toEqual(state)
        },
      ),
    )
  })

  it('is the seeded stack’s where it has a stack’s settings and no model', () => {
    const modelIn = (query: string) => readLayers(new URLSearchParams(query)).model
    expect(['layers=2', 'run=1', 'sentence=a', 'map=0,0'].map(modelIn)).toEqual(Array(4).fill(SEEDED))
    expect(['', 'tables=1', 'log=1'].map(modelIn)).toEqual([undefined, undefined, undefined])
    expect(modelIn('model=gpt2&run=1')).toBe('gpt2')
  })

  it('opens no map that the stack has not', () => {
    expect(readLayers(new URLSearchParams('layers=2&heads=3&map=2,0')).selected).toBeUndefined()
    expect(readLayers(new URLSearchParams('layers=2&heads=3&map=1,3')).selected).toBeUndefined()
    expect(readLayers(new URLSearchParams('layers=0&heads=99&seed=-1&tokens=1e9')).layers).toBe(6)
  })
})

describe('the address', () => {
  it('keeps typed matrices', () => {
    fc.assert(
      fc.property(
        matrices,
        fc.array(token, { minLength: 1, maxLength: 12 }),
        shared,
        (values, tokens, more) => {
          const state: AttentionState = { ...WORKED_EXAMPLE, ...values, tokens, ...more }
          // −0 and 0 are the same number to a reader
          expect(JSON.stringify(throughAddress(state))).toBe(JSON.stringify(state))
        },
      ),
    )
  })

  it('keeps sentences', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: 'grapheme', maxLength: 300 }),
        fc.integer({ min: 2, max: 32 }),
        shared,
        (sentence, dim, more) => {
          const state: AttentionState = {
            ...WORKED_EXAMPLE,
            ...more,
            source: 'sentence',
            sentence,
            dim,
            seed: 7,
            model: SEEDED,
          }
          expect(throughAddress(state)).toEqual(state)
          const ofModel = { ...state, model: 'gpt2', head: { layer: dim, head: 7 } }
          const { dim: _dim, seed: _seed, ...kept } = ofModel
          expect(throughAddress(ofModel)).toMatchObject(kept)
        },
      ),
    )
  })

  it.each(EXAMPLES)('keeps the example $id', ({ state }) => {
    expect(throughAddress(state)).toEqual(state)
  })

  it('takes anything, and shows what makes sense of it', () => {
    fc.assert(
      fc.property(
        fc.webFragments(),
        fc.dictionary(fc.constantFrom('q', 'k', 'v', 'cell', 'window', 'd'), fc.string()),
        (hash, params) => {
          for (const text of [hash, `attention?${new URLSearchParams(params)}`]) {
            const { q, k, v, target } = readState(readAddress(text).params)
            expect([q[0]!.length, k.length, target.length]).toEqual([k[0]!.length, v.length, q.length])
          }
        },
      ),
      { numRuns: 30 },
    )
  })
})
