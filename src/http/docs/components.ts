/** JSON Schemas of the components that the documents of HTTP and of the stream share, from zod. */
import * as z from 'zod'
import { MOST_EXTENT } from '../../formats/tensor.ts'

export type Json = Record<string, unknown>

const VALUE_TYPES = ['float64', 'float32', 'float16', 'bfloat16']

/** Tensors are written by hand: zod never looks at their elements. */
export const TENSORS: Record<string, Json> = {
  Tensor: {
    description:
      'A tensor in any of three forms: nested arrays (rank = depth), `{shape, data}` (row-major, optional dtype), or ' +
      '`{shape, dtype, base64}` (little-endian, row-major bytes). Non-finite numbers are the strings "NaN", "Infinity", "-Infinity".',
    oneOf: [ref('NestedTensor'), ref('FlatTensor'), ref('Base64Tensor')],
  },
  NestedTensor: {
    type: 'array',
    description: 'Nested arrays, regular in every axis; all numbers, or all booleans.',
    items: ref('NestedElement'),
  },
  NestedElement: {
    description: 'An element, or what is nested one axis deeper.',
    oneOf: [{ type: 'number' }, { type: 'boolean' }, ref('NonFinite'), ref('NestedTensor')],
  },
  Element: { oneOf: [{ type: 'number' }, { type: 'boolean' }, ref('NonFinite')] },
  NonFinite: { type: 'string', enum: ['NaN', 'Infinity', '-Infinity'] },
  FlatTensor: {
    type: 'object',
    description: 'The shape, and the elements in row-major order.',
    properties: {
      shape: ref('Shape'),
      dtype: ref('ElementType'),
      data: { type: 'array', items: ref('Element') },
    },
    required: ['shape', 'data'],
    additionalProperties: false,
  },
  Base64Tensor: {
    type: 'object',
    description: 'The shape, and the elements as little-endian, row-major bytes in standard padded base64.',
    properties: {
      shape: ref('Shape'),
      dtype: ref('ElementType'),
      base64: { type: 'string', contentEncoding: 'base64' },
    },
    required: ['shape', 'dtype', 'base64'],
    additionalProperties: false,
  },
  AnswerTensor: {
    description: 'A tensor in the form that the request’s `encoding` names; a number for a tensor of rank 0.',
    oneOf: [
      { type: 'number' },
      ref('NonFinite'),
      ref('NestedTensor'),
      ref('FlatTensor'),
      ref('Base64Tensor'),
    ],
  },
  Text: {
    description: 'A text, or a list of texts.',
    anyOf: [{ type: 'string' }, { type: 'array', items: { type: 'string' } }],
  },
  /** lists of numbers are only located when a message is read */
  IndexList: {
    type: 'array',
    description: 'Different non-negative integers.',
    items: { type: 'integer', minimum: 0 },
    minItems: 1,
    uniqueItems: true,
  },
  LayerList: {
    type: 'array',
    description: 'Different layers; none where none are wanted.',
    items: { type: 'integer', minimum: 0 },
    uniqueItems: true,
  },
  Shape: { type: 'array', items: { type: 'integer', minimum: 0, maximum: MOST_EXTENT }, maxItems: 8 },
  ElementType: { type: 'string', enum: [...VALUE_TYPES, 'float8_e4m3', 'bool', 'int32', 'int64'] },
}

/** Puts a schema and what it refers to among the components; returns a reference to it. */
export function component(
  schema: z.ZodType,
  io: 'input' | 'output',
  components: Record<string, Json>,
  target: 'draft-2020-12' | 'draft-7' = 'draft-2020-12',
): Json {
  const { $ref, $defs, definitions } = z.toJSONSchema(schema, { io, target }) as {
    $ref: string
    $defs?: Record<string, Json>
    definitions?: Record<string, Json>
  }
  for (const [name, definition] of Object.entries($defs ?? definitions ?? {})) {
    if (!(name in TENSORS)) components[name] = relocate(definition) as Json
  }
  return relocate({ $ref }) as Json
}

export function ref(name: string): Json {
  return { $ref: `#/components/schemas/${name}` }
}

function relocate(node: unknown): unknown {
  if (Array.isArray(node)) return node.map(relocate)
  if (typeof node !== 'object' || node === null) return node
  const entries = Object.entries(node).flatMap(([key, value]) => {
    // a component's name, not a property that is called so
    if (key === 'id' && typeof value === 'string') return []
    if (key === '$ref' && typeof value === 'string')
      return [[key, value.replace(/^#\/(\$defs|definitions)\//, '#/components/schemas/')]]
    return [[key, relocate(value)]]
  })
  return Object.fromEntries(entries)
}
