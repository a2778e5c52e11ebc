/** Request bytes → a tree of plain values with tensors in it, by media type. Knows nothing of attention. */
import type { JsonScan, Span } from '../../workers/text/json-scan.ts'
import { fieldProblem, Problem } from '../problem.ts'
import { FileTensor, NumbersSpan, TextSpan } from './json-tensor.ts'
import { parseSafetensors } from './safetensors.ts'
import type { TensorSource } from './tensor.ts'

export type BodyFormat = 'json' | 'safetensors'

export const MEDIA_TYPES: Record<BodyFormat, string> = {
  json: 'application/json',
  safetensors: 'application/x-safetensors',
}

export function formatOf(contentType: string | undefined): BodyFormat | undefined {
  const type = contentType?.split(';')[0].trim().toLowerCase()
  if (type === MEDIA_TYPES.json) return 'json'
  return type === MEDIA_TYPES.safetensors ? 'safetensors' : undefined
}

/** What reading a body needs from the compute side. */
export interface BodyContext {
  /** finds the structure of JSON text, here or in a worker */
  scan(bytes: Uint8Array): JsonScan | Promise<JsonScan>
  /** the same, here and now, for text that is known to be short */
  scanHere(bytes: Uint8Array): JsonScan
  /** copies text into shared memory, where workers can read it */
  share(text: Uint8Array): Uint8Array
}

/** `bytes` stand in shared memory and must stay there until the request's decode steps have run. */
export async function parseBody(
  format: BodyFormat,
  bytes: Uint8Array,
  context: BodyContext,
): Promise<unknown> {
  return format === 'json' ? jsonTree(bytes, await context.scan(bytes)) : safetensorsTree(bytes, context)
}

function jsonTree(bytes: Uint8Array, scan: JsonScan): unknown {
  if (scan.ok) return revive(scan.value, bytes, scan.spans, '')
  const { position, pointer, message, tensor } = scan.fault
  if (tensor) throw fieldProblem('INVALID_TENSOR', pointer, message)
  throw new Problem('INVALID_JSON', `at byte ${position}: ${message}`, {
    errors: [{ path: pointer, message }],
  })
}

/**
 * Puts the located arrays and strings in place of their placeholders, and drops members that are null: a null member
 * means the same as an absent one, because serialisers of many languages write it so.
 */
function revive(value: unknown, bytes: Uint8Array, spans: Span[], pointer: string): unknown {
  if (typeof value === 'bigint') {
    const span = spans[Number(value)]
    // nobody can tell an empty list of names from an empty tensor: where a tensor is wanted it is read as one
    if (span.kind === 'numbers' && span.count === 0 && span.shape.length === 1) return []
    return span.kind === 'numbers' ? new NumbersSpan(bytes, span) : new TextSpan(bytes, span)
  }
  if (Array.isArray(value)) {
    return value.map((item, index) => revive(item, bytes, spans, `${pointer}/${index}`))
  }
  if (typeof value !== 'object' || value === null) return value
  const result: Record<string, unknown> = Object.create(null)
  for (const [key, member] of Object.entries(value)) {
    const below = `${pointer}/${escaped(key)}`
    if (key === '__proto__') throw unknownField(below)
    if (member !== null) result[key] = revive(member, bytes, spans, below)
  }
  return result
}

function safetensorsTree(bytes: Uint8Array, context: BodyContext): unknown {
  const file = parseSafetensors(bytes, context.scanHere)
  if (!file.ok) throw fieldProblem('INVALID_SAFETENSORS', file.pointer, file.message)
  const root = requestTree(file.metadata.request, context)
  for (const { name, dtype, shape, start, end } of file.tensors) {
    const count = shape.reduce((total, extent) => total * extent, 1)
    const source: TensorSource = {
      ...{ shape, count, dtype, bytes, start, end },
      ...{ form: 'safetensors', marks: [], escaped: false },
    }
    put(root, name, new FileTensor(source))
  }
  return root
}

/** The JSON string under `__metadata__.request`: everything that is no tensor. */
function requestTree(text: string | undefined, context: BodyContext): Record<string, unknown> {
  if (text === undefined) return Object.create(null)
  const bytes = context.share(Buffer.from(text))
  const tree = jsonTree(bytes, context.scanHere(bytes))
  if (
    typeof tree === 'object' &&
    tree !== null &&
    !Array.isArray(tree) &&
    Object.getPrototypeOf(tree) === null
  ) {
    return tree as Record<string, unknown>
  }
  throw fieldProblem('INVALID_SAFETENSORS', '/__metadata__/request', 'expected a JSON object')
}

/** `backward.grad_output` goes below `backward`; what follows `params.` is one key, dots and all. */
function put(root: Record<string, unknown>, name: string, tensor: FileTensor): void {
  const path = tensorPath(name)
  if (path.includes('__proto__')) throw unknownField(`/${path.map(escaped).join('/')}`)
  let node = root
  for (const key of path.slice(0, -1)) {
    node[key] ??= Object.create(null)
    const child = node[key]
    if (typeof child !== 'object' || child === null || Object.getPrototypeOf(child) !== null) {
      throw clash(name)
    }
    node = child as Record<string, unknown>
  }
  const key = path[path.length - 1]
  if (Object.hasOwn(node, key)) throw clash(name)
  node[key] = tensor
}

/** No field has this name, and dictionaries of any names (a stack's parameters) would drop it without a word. */
function unknownField(pointer: string): Problem {
  return fieldProblem('INVALID_REQUEST', pointer, 'expected no such field, got one')
}

function escaped(key: string): string {
  return key.replaceAll('~', '~0').replaceAll('/', '~1')
}

function clash(name: string): Problem {
  return fieldProblem('INVALID_SAFETENSORS', `/${name}`, `expected one value for ${name}, got two`)
}

/** Where a tensor of this name stands in JSON: dots are levels, but what follows `params.` or `grad_params.` is one key. */
export function tensorPath(name: string): string[] {
  const levels = name.split('.')
  const params = levels.findIndex((level, index) => PARAMS.includes(level) && index < levels.length - 1)
  if (params < 0) return levels
  return [...levels.slice(0, params + 1), levels.slice(params + 1).join('.')]
}

const PARAMS = ['params', 'grad_params']
