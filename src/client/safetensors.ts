/** Requests and answers as safetensors files: tensors by their places, and everything else as one JSON string. */
import { type DType, Tensor } from './tensor.ts'

const CODES: Record<DType, string> = {
  float64: 'F64',
  float32: 'F32',
  float16: 'F16',
  bfloat16: 'BF16',
  int64: 'I64',
  int32: 'I32',
  bool: 'BOOL',
}
const DTYPES = Object.fromEntries(Object.entries(CODES).map(([dtype, code]) => [code, dtype as DType]))

/** What holds tensors by names that have dots in them. */
const MAPS = new Set(['params', 'present', 'past', 'state', 'grad_params'])

type Tree = { [key: string]: unknown }

/** Takes the tensors out of a request. */
function split(node: unknown, place: string, tensors: Map<string, Tensor>): unknown {
  if (node instanceof Tensor) {
    tensors.set(place, node)
    return undefined
  }
  if (typeof node !== 'object' || node === null || Array.isArray(node)) return node
  const entries = Object.entries(node).flatMap(([key, value]) => {
    const rest = split(value, place === '' ? key : `${place}.${key}`, tensors)
    return rest === undefined ? [] : [[key, rest] as const]
  })
  // an object of nothing but tensors follows from their places
  const isEmptied = entries.length === 0 && Object.keys(node).length > 0 && place !== ''
  return isEmptied ? undefined : Object.fromEntries(entries)
}

/** Whether there is a tensor in it. */
export function holdsTensors(request: object): boolean {
  const found = new Map<string, Tensor>()
  split(request, '', found)
  return found.size > 0
}

export function encodeFile(request: object): Uint8Array<ArrayBuffer> {
  const tensors = new Map<string, Tensor>()
  const rest = split(request, '', tensors)
  const header: Tree = { __metadata__: { request: JSON.stringify(rest) } }
  let end = 0
  for (const [place, { dtype, shape, bytes }] of tensors) {
    const begin = end
    end += bytes.length
    header[place] = { dtype: CODES[dtype], shape, data_offsets: [begin, end] }
  }
  const text = JSON.stringify(header)
  const head = new TextEncoder().encode(text)
  // elements stand at multiples of eight bytes, where they are used as they stand
  const length = Math.ceil(head.length / 8) * 8
  const file = new Uint8Array(8 + length + end)
  new DataView(file.buffer).setBigUint64(0, BigInt(length), true)
  file.fill(0x20, 8, 8 + length)
  file.set(head, 8)
  let at = 8 + length
  for (const { bytes } of tensors.values()) {
    file.set(bytes, at)
    at += bytes.length
  }
  return file
}

/** An answer, or a frame of the stream, with its tensors at their places. */
export function decodeFile(file: Uint8Array, rest: 'response' | 'frame'): Tree {
  const length = Number(new DataView(file.buffer, file.byteOffset, 8).getBigUint64(0, true))
  const header = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + length))) as Record<string, Tree>
  const { __metadata__: metadata, ...entries } = header
  const tree = JSON.parse(String(metadata?.[rest] ?? '{}')) as Tree
  for (const [place, { dtype, shape, data_offsets }] of Object.entries(entries)) {
    const [begin, end] = data_offsets as [number, number]
    const bytes = file.subarray(8 + length + begin, 8 + length + end)
    put(tree, place.split('.'), Tensor.fromBytes(bytes, shape as number[], DTYPES[String(dtype)]))
  }
  return tree
}

function put(tree: Tree, path: string[], value: Tensor): void {
  let node = tree
  for (let depth = 0; depth < path.length - 1; depth++) {
    const key = path[depth]
    const isMap = MAPS.has(key)
    node[key] ??= !isMap && /^\d+$/.test(path[depth + 1]) ? [] : {}
    node = node[key] as Tree
    if (isMap) {
      node[path.slice(depth + 1).join('.')] = value
      return
    }
  }
  node[path[path.length - 1]] = value
}
