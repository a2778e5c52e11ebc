/** Request bytes → a tree of plain values with tensors in it, by media type. Knows nothing of attention. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { jsonPointer, shortened } from '../../workers/text/json-pointer.ts'
import type { JsonScan, Span } from '../../workers/text/json-spans.ts'
import { fieldProblem, Problem } from '../problem.ts'
import { headerOf, parseSafetensors } from './safetensors.ts'
import { FileTensor, HugeNumber, NumbersSpan, product, TextSpan } from './tensor.ts'

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

/** JSON text and what a scan has located in it → a tree. The bytes must stay in their place while its tensors are read. */
export function jsonTree(bytes: Uint8Array, scan: JsonScan): unknown {
  if (scan.ok) return revive(scan.value, bytes, scan.spans, [])
  const { position, pointer, message, tensor } = scan.fault
  if (tensor) throw fieldProblem('INVALID_TENSOR', pointer, message)
  throw new Problem('INVALID_JSON', `at byte ${position}: ${message}`, {
    errors: [{ path: pointer, message }],
  })
}

/**
 * Puts what was located in place of its placeholders, and drops members that are null: a null member means the same as an
 * absent one, because serialisers of many languages write it so. The tree is this request's own: it is changed in place.
 */
function revive(value: unknown, bytes: Uint8Array, spans: Span[], path: PropertyKey[]): unknown {
  if (typeof value === 'bigint') return located(bytes, spans[Number(value)])
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) {
      path.push(index)
      value[index] = revive(item, bytes, spans, path)
      path.pop()
    }
    return value
  }
  const members = value as Record<string, unknown>
  for (const key of Object.keys(members)) {
    path.push(key)
    if (key === '__proto__') throw unknownField(path)
    if (members[key] === null) delete members[key]
    else members[key] = revive(members[key], bytes, spans, path)
    path.pop()
  }
  return members
}

function located(bytes: Uint8Array, span: Span): unknown {
  switch (span.kind) {
    case 'numbers':
      // an empty list of names cannot be told from an empty tensor: where a tensor is wanted it is read as one
      return span.count === 0 && span.shape.length === 1 ? [] : new NumbersSpan(bytes, span)
    case 'text':
      return new TextSpan(bytes, span)
    case 'huge':
      return new HugeNumber(bytes, span)
  }
}

/** Tensors of a file that are put in their places in one turn of the event loop. */
const TENSORS_AT_ONCE = 1024

type Scan = (text: Uint8Array) => JsonScan | Promise<JsonScan>

/**
 * `share` copies text to where workers can read it; `scan` finds the structure of JSON text of at most 1 MB. `beside`: other keys of
 * the file's metadata than `request`.
 */
export async function safetensorsTree(
  bytes: Uint8Array,
  share: (text: Uint8Array) => Uint8Array,
  scan: Scan,
): Promise<{ tree: unknown; beside: string[] }> {
  const header = headerOf(bytes)
  const scanned = header && (await scan(header))
  const file = parseSafetensors(bytes, () => scanned as JsonScan)
  if (!file.ok) throw fieldProblem('INVALID_SAFETENSORS', file.pointer, file.message)
  const { request, ...others } = file.metadata
  const root =
    request === undefined ? Object.create(null) : await requestTree(share(Buffer.from(request)), scan)
  for (const [index, { name, ...place }] of file.tensors.entries()) {
    if (index % TENSORS_AT_ONCE === 0 && file.tensors.length > TENSORS_AT_ONCE) await nextTurn()
    const count = product(place.shape)
    const source = { ...place, count, bytes, form: 'safetensors' as const, marks: [], escaped: false }
    if (!putTensor(root, name, new FileTensor(source))) throw clash(name)
  }
  return { tree: root, beside: Object.keys(others) }
}

/** The JSON string under `__metadata__.request`: everything that is no tensor. */
async function requestTree(bytes: Uint8Array, scan: Scan): Promise<Record<string, unknown>> {
  const tree = jsonTree(bytes, await scan(bytes))
  if (isTree(tree)) return tree
  throw fieldProblem('INVALID_SAFETENSORS', '/__metadata__/request', 'expected a JSON object')
}

/** Is it an object of a tree, and nothing that was only located? */
export function isTree(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === null
}

/** `backward.grad_output` goes below `backward`; what follows `params.` is one key, dots and all. False where something stands there. */
export function putTensor(
  root: Record<string, unknown>,
  name: string,
  tensor: FileTensor | string[],
): boolean {
  const path = tensorPath(name)
  if (path.includes('__proto__')) throw unknownField(path)
  let node = root
  for (const key of path.slice(0, -1)) {
    node[key] ??= Object.create(null)
    const child = node[key]
    if (!isTree(child)) return false
    node = child
  }
  const key = path[path.length - 1]
  if (Object.hasOwn(node, key)) return false
  node[key] = tensor
  return true
}

/** No field has this name, and dictionaries of any names (a stack's parameters) would drop it without a word. */
function unknownField(path: PropertyKey[]): Problem {
  return fieldProblem('INVALID_REQUEST', jsonPointer(...path), 'expected no such field, got one')
}

function clash(name: string): Problem {
  const message = `expected one value for ${shortened(name)}, got two`
  return fieldProblem('INVALID_SAFETENSORS', jsonPointer(name), message)
}

/** Where a tensor of this name stands in JSON: dots are levels, but what follows `params.`, `grad_params.`, `past.`, `present.` or `state.` is one key. */
export function tensorPath(name: string): string[] {
  const path: string[] = []
  let from = 0
  for (;;) {
    const dot = name.indexOf('.', from)
    if (dot < 0) break
    const level = name.slice(from, dot)
    path.push(level)
    from = dot + 1
    if (PARAMS.includes(level)) break
  }
  path.push(name.slice(from))
  return path
}

const PARAMS = ['params', 'grad_params', 'past', 'present', 'state']
