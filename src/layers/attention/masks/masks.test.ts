/** Every listed mask, with options drawn from its own schema: what holds for all of them. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import * as z from 'zod'
import { intervals } from '../../../../workers/ops/intervals/kernel.ts'
import { tensorKinds } from '../../../formats/tensor-fields.ts'
import { rowMasks } from '../intervals.ts'
import { type MaskOptions, maskFields } from './index.ts'
import * as list from './list.ts'
import type { Mask } from './mask.ts'

interface Schema {
  $ref?: string
  $defs?: Record<string, Schema>
  anyOf?: Schema[]
  enum?: unknown[]
  const?: unknown
  type?: string
  properties?: Record<string, Schema>
  minimum?: number
}

type Defs = Record<string, Schema>

/**
 * Values that a member's schema takes; a tensor is drawn as an object, for masks ask only whether it is there. What has a form with
 * members is drawn in it: other forms are those of dialects, which have been read before.
 */
function valuesOf(schema: Schema, defs: Defs): fc.Arbitrary<unknown> {
  const named = schema.$ref === undefined ? undefined : defs[schema.$ref.split('/').at(-1) ?? '']
  if (named?.anyOf !== undefined || named?.properties !== undefined) return valuesOf(named, defs)
  if (schema.anyOf !== undefined) {
    const own = schema.anyOf.filter(({ properties }) => properties !== undefined)
    return fc.oneof(...(own.length > 0 ? own : schema.anyOf).map(each => valuesOf(each, defs)))
  }
  if (schema.const !== undefined) return fc.constant(schema.const)
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum)
  switch (schema.type) {
    case 'boolean':
      return fc.boolean()
    case 'null':
      return fc.constant(null)
    case 'integer':
    case 'number':
      return fc.integer({ min: schema.minimum ?? -5, max: (schema.minimum ?? 0) + 12 })
    case 'object':
      return fc.record(mapped(schema.properties ?? {}, defs), { requiredKeys: [] })
    default:
      return fc.constant({ shape: [1] })
  }
}

function mapped(properties: Record<string, Schema>, defs: Defs) {
  return Object.fromEntries(
    Object.entries(properties).map(([name, schema]) => [name, valuesOf(schema, defs)]),
  )
}

function optionsOf(mask: Mask): fc.Arbitrary<MaskOptions> {
  const fields = z.object(mask.fields(tensorKinds(false)))
  const schema = z.toJSONSchema(fields, { io: 'input', unrepresentable: 'any' }) as Schema
  return fc.record(mapped(schema.properties ?? {}, schema.$defs ?? {}), {
    requiredKeys: [],
  }) as fc.Arbitrary<MaskOptions>
}

const sizes = fc.record({
  queries: fc.integer({ min: 1, max: 40 }),
  keys: fc.integer({ min: 1, max: 40 }),
  shift: fc.integer({ min: -20, max: 20 }),
})

describe.each(Object.entries<Mask>(list))('the mask %s', (_, mask) => {
  it('says nothing where the request does not set it', () => {
    const unset = z.object(mask.fields(tensorKinds(false))).parse({})
    expect(rowMasks(unset as MaskOptions)).toEqual([])
  })

  it('has no field that another mask has', () => {
    const others = Object.values<Mask>(list).filter(other => other !== mask)
    const taken = others.flatMap(other => Object.keys(other.fields(tensorKinds(false))))
    for (const name of Object.keys(mask.fields(tensorKinds(false)))) expect(taken).not.toContain(name)
    expect(Object.keys(maskFields(tensorKinds(false)))).toEqual(
      expect.arrayContaining(Object.keys(mask.fields(tensorKinds(false)))),
    )
  })

  it('is plain data whose intervals never go back, whatever its options', () => {
    fc.assert(
      fc.property(optionsOf(mask), sizes, (options, { queries, keys, shift }) => {
        const masks = rowMasks(options)
        expect(JSON.parse(JSON.stringify(masks))).toEqual(masks)
        const found = new Int32Array(2 * queries)
        intervals({ intervals: found }, { batch: 1, queries, keys, shift, masks }, 0, 1)
        for (const end of found) expect(end >= 0 && end <= keys).toBe(true)
      }),
      { numRuns: 200 },
    )
  })

  it('masks something, with some options', () => {
    const masked = fc
      .sample(optionsOf(mask), { seed: 1, numRuns: 300 })
      .some(options => rowMasks(options).length > 0)
    expect(masked).toBe(true)
  })
})
