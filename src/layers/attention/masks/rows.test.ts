/** What each mask says as data, and what its fields take. */
import { describe, expect, it } from 'vitest'
import * as z from 'zod'
import { tensorKinds } from '../../../formats/tensor-fields.ts'
import { parse } from '../../../pipeline/serve.ts'
import type { Problem } from '../../../problem.ts'
import { rowMasks } from '../intervals.ts'
import { maskFields } from './index.ts'

const tensors = tensorKinds(true)
/** Made anew each time: what a test is to see must happen within it. */
const schemaOf = () => z.strictObject(maskFields(tensors))
const rows = (request: object) => rowMasks(schemaOf().parse(request))
/** Where a request is wrong, as its client is told. */
const messages = (request: object) => {
  try {
    rowMasks(parse(schemaOf(), request))
    return undefined
  } catch (problem) {
    return (problem as Problem).errors.map(({ path }) => path.slice(1).replaceAll('/', '.'))
  }
}

describe('the list of masks', () => {
  it('has the fields of all of them, each to be left out', () => {
    const fields = Object.keys(maskFields(tensors))
    expect(fields).toEqual(expect.arrayContaining(['causal', 'kv_lengths', 'q_lengths', 'window']))
    expect(schemaOf().parse({})).toEqual({})
  })

  it('is nothing where a request sets none', () => {
    expect(rows({})).toEqual([])
    expect(rows({ causal: false })).toEqual([])
    expect(rowMasks({})).toEqual([])
  })

  it('has a mask for each that it sets', () => {
    const all = rows({ causal: true, q_lengths: { shape: [1] }, window: { left: 1, right: 2 } })
    expect(all).toEqual([
      { hi: ['+', 'aligned', 1] },
      { live: 'queries', hi: 'keys' },
      { lo: ['-', 'aligned', 1], hi: ['+', 'aligned', 3] },
    ])
  })
})

describe('causal', () => {
  it.each([[true], ['top_left'], ['bottom_right']])('%s lets a row see up to its own place', causal => {
    expect(rows({ causal })).toEqual([{ hi: ['+', 'aligned', 1] }])
  })

  it.each([['left'], [1], [null], [['top_left']]])('%j is none', causal => {
    expect(messages({ causal })).toEqual(['causal'])
  })
})

describe('prefix_lengths', () => {
  const prefix_lengths = { shape: [2] }

  it('beside causal open the keys before them', () => {
    expect(rows({ causal: true, prefix_lengths })).toEqual([{ hi: ['max', ['+', 'aligned', 1], 'prefix'] }])
  })

  it('are tensors of integers, and no mask of their own', () => {
    expect(messages({ causal: true, prefix_lengths: 3 })).toEqual(['prefix_lengths'])
    expect(rows({ prefix_lengths })).toEqual([])
  })
})

describe('lengths', () => {
  it.each([['q_lengths'], ['kv_lengths']])('%s alone make padding of both', name => {
    expect(rows({ [name]: { shape: [2] } })).toEqual([{ live: 'queries', hi: 'keys' }])
  })

  it('are tensors of integers', () => {
    expect(messages({ q_lengths: 'x' })).toEqual(['q_lengths'])
    expect(messages({ kv_lengths: 3 })).toEqual(['kv_lengths'])
  })
})

describe('window', () => {
  it.each([
    [{ left: 0 }, { lo: ['-', 'aligned', 0], hi: undefined }],
    [{ right: 0 }, { lo: undefined, hi: ['+', 'aligned', 1] }],
    [
      { left: 3, right: null },
      { lo: ['-', 'aligned', 3], hi: undefined },
    ],
    [
      { left: null, right: 4 },
      { lo: undefined, hi: ['+', 'aligned', 5] },
    ],
  ])('%j', (window, mask) => {
    expect(rows({ window })).toEqual([mask])
  })

  it.each([
    ['top_left', ['+', 'i', 5]],
    ['bottom_right', ['+', 'i', ['-', 'keys', 'queries']]],
  ])('aligned %s, whatever causal says', (align, place) => {
    const request = schemaOf().parse({ window: { left: 1, right: 2, align } })
    expect(rowMasks(request, 5)).toEqual([{ lo: ['-', place, 1], hi: ['+', place, 3] }])
  })

  it('without an end is none', () => {
    for (const window of [{}, { left: null }, { left: null, right: null }, { align: 'bottom_right' }])
      expect(rows({ window })).toEqual([])
  })

  it.each([
    [{ left: -1 }, ['window.left']],
    [{ right: -1 }, ['window.right']],
    [{ left: 0.5 }, ['window.left']],
    [{ middle: 1 }, ['window.middle']],
    [{ left: 1, align: 'left' }, ['window.align']],
    [{ left: 1, align: null }, ['window.align']],
    [3, ['window']],
  ])('%j is refused', (window, paths) => {
    expect(messages({ window })).toEqual(paths)
  })
})
