/**
 * The safetensors file format: 8 bytes of header length, a JSON header, then the tensors' bytes.
 * Checked as strictly as the format's own implementation does: the tensors cover the data without holes or overlaps.
 */

import { isUtf8 } from 'node:buffer'
import { ELEMENT_BYTES, type ElementType, WRITTEN_BYTES, type WrittenType } from '../../workers/contract.ts'
import { COMMA, isDigit, ZERO } from '../../workers/text/json-cursor.ts'
import { jsonPointer, shortened } from '../../workers/text/json-pointer.ts'
import { expandNumbers, type JsonScan, type Span } from '../../workers/text/json-spans.ts'
import { product, shapeFault } from './tensor.ts'

export interface FileEntry {
  name: string
  dtype: ElementType
  shape: number[]
  /** bytes in the file */
  start: number
  end: number
}

export type SafetensorsFile =
  | { ok: true; tensors: FileEntry[]; metadata: Record<string, string> }
  | { ok: false; pointer: string; message: string }

const METADATA = '__metadata__'
const MAX_HEADER = 1 << 20
/** The scan of a header takes no more: each has four values, two of them lists of numbers. Plain stacks of 256 layers have 4354. */
const MAX_TENSORS = 4400
/** `backward.grad_params.layers.0.attention.w_q` has 6. */
const MAX_LEVELS = 16

const DTYPES: Record<string, ElementType> = {
  F64: 'float64',
  F32: 'float32',
  F16: 'float16',
  BF16: 'bfloat16',
  F8_E4M3: 'float8_e4m3',
  BOOL: 'bool',
  I32: 'int32',
  I64: 'int64',
}
/** Without float8, which is for candidates of a comparison alone. */
const USUAL_CODES = Object.keys(DTYPES)
  .filter(code => code !== 'F8_E4M3')
  .join(', ')
const DTYPE_NAMES = Object.fromEntries(Object.entries(DTYPES).map(([code, dtype]) => [dtype, code]))

class Malformed extends Error {
  readonly pointer: string

  constructor(pointer: string, message: string) {
    super(message)
    this.pointer = pointer
  }
}

/** The header's text; undefined where the file says of it what cannot be. */
export function headerOf(bytes: Uint8Array): Uint8Array | undefined {
  if (bytes.length < 8) return undefined
  const length = new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true)
  return length > Math.min(MAX_HEADER, bytes.length - 8) ? undefined : bytes.subarray(8, 8 + Number(length))
}

/** `scan` finds the structure of the header. */
export function parseSafetensors(bytes: Uint8Array, scan: (header: Uint8Array) => JsonScan): SafetensorsFile {
  try {
    return parse(bytes, scan)
  } catch (error) {
    if (error instanceof Malformed) return { ok: false, pointer: error.pointer, message: error.message }
    throw error
  }
}

function parse(bytes: Uint8Array, scanHeader: (header: Uint8Array) => JsonScan): SafetensorsFile {
  if (bytes.length < 8) throw new Malformed('', `expected at least 8 bytes, got ${bytes.length}`)
  const length = new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true)
  if (length > MAX_HEADER)
    throw new Malformed('', `expected a header of at most ${MAX_HEADER} bytes, got ${length}`)
  const data = 8 + Number(length)
  if (data > bytes.length) {
    throw new Malformed(
      '',
      `expected a file of at least ${data} bytes (its header says so), got ${bytes.length}`,
    )
  }
  const header = bytes.subarray(8, data)
  const scan = scanHeader(header)
  if (!scan.ok)
    throw new Malformed(scan.fault.pointer, `header, at byte ${scan.fault.position}: ${scan.fault.message}`)
  if (!isObject(scan.value)) throw new Malformed('', 'expected a JSON object as the header')
  const { value: entries, spans } = scan
  const names = Object.keys(entries).filter(name => name !== METADATA)
  if (names.length > MAX_TENSORS)
    throw new Malformed('', `expected at most ${MAX_TENSORS} tensors, got ${names.length}`)
  const tensors = names.map(name => readEntry(name, entries[name], header, spans, data))
  cover(tensors, data, bytes.length)
  return { ok: true, tensors, metadata: readMetadata(entries[METADATA], header, spans) }
}

function readEntry(name: string, entry: unknown, header: Uint8Array, spans: Span[], data: number): FileEntry {
  // there may be thousands: what a fault says is put together where there is one
  const malformed = (message: string, ...below: (string | number)[]) =>
    new Malformed(jsonPointer(name, ...below), message)
  if (name.length > MAX_LEVELS && name.split('.', MAX_LEVELS + 1).length > MAX_LEVELS)
    throw malformed(`expected a name of at most ${MAX_LEVELS} levels`)
  if (!isObject(entry)) throw malformed('expected an object with dtype, shape and data_offsets')
  for (const key of Object.keys(entry)) {
    if (key !== 'dtype' && key !== 'shape' && key !== 'data_offsets')
      throw malformed('expected only dtype, shape and data_offsets', key)
  }
  const dtype = typeof entry.dtype === 'string' ? DTYPES[entry.dtype] : undefined
  if (dtype === undefined) {
    const got = typeof entry.dtype === 'string' ? shortened(entry.dtype) : 'no string'
    throw malformed(`expected one of ${USUAL_CODES}, got ${got}`, 'dtype')
  }
  const numbers = (field: 'shape' | 'data_offsets'): number[] => {
    const list = wholeNumbers(entry[field], header, spans)
    if (!Array.isArray(list)) throw malformed('expected an array of non-negative integers', field)
    const wrong = list.findIndex(number => !Number.isSafeInteger(number) || number < 0)
    if (wrong >= 0) throw malformed('expected only non-negative integers', field, wrong)
    return list
  }
  const shape = numbers('shape')
  const wrong = shapeFault(shape)
  if (wrong !== undefined) {
    throw malformed(wrong.message, 'shape', ...(wrong.axis === undefined ? [] : [wrong.axis]))
  }
  const offsets = numbers('data_offsets')
  const size = product(shape) * ELEMENT_BYTES[dtype]
  const [start, end] = offsets
  if (offsets.length !== 2 || end - start !== size) {
    const wanted = `two offsets ${size} bytes apart for ${dtype} [${shape.join(', ')}]`
    const got = offsets.length > 8 ? `${offsets.length} offsets` : `[${offsets.join(', ')}]`
    throw malformed(`expected ${wanted}, got ${got}`, 'data_offsets')
  }
  return { name, dtype, shape, start: data + start, end: data + end }
}

/** A short list of numbers where the value is one; else something else. */
function wholeNumbers(value: unknown, header: Uint8Array, spans: Span[]): unknown {
  const span = typeof value === 'bigint' ? spans[Number(value)] : undefined
  if (span?.kind !== 'numbers' || span.count > 64 || span.shape.length !== 1) return value
  return plainNumbers(header, span) ?? expandNumbers(header, span)
}

/**
 * What programs write, digits and commas alone, several times faster than JSON.parse reads it; undefined for all else.
 * Safe integers are exact, and what is larger stays so.
 */
function plainNumbers(header: Uint8Array, { start, end, count }: Span & { kind: 'numbers' }) {
  if (count === 0) return undefined
  const list: number[] = []
  let number = 0
  for (let at = start + 1; at < end; at++) {
    const byte = header[at]
    if (isDigit(byte)) number = 10 * number + byte - ZERO
    else if (byte === COMMA || at === end - 1) {
      list.push(number)
      number = 0
    } else return undefined
  }
  return list
}

/** The tensors follow each other without holes or overlaps up to the file's last byte. */
function cover(tensors: FileEntry[], data: number, end: number): void {
  let next = data
  for (const tensor of tensors.toSorted((a, b) => a.start - b.start || a.end - b.end)) {
    if (tensor.start !== next) {
      throw new Malformed(
        jsonPointer(tensor.name, 'data_offsets'),
        `expected to begin at ${next - data}, got ${tensor.start - data}`,
      )
    }
    next = tensor.end
  }
  if (next !== end) throw new Malformed('', `expected ${next - data} bytes of data, got ${end - data}`)
}

/** String → string; a long string is only located by the scan and is read here. */
function readMetadata(value: unknown, header: Uint8Array, spans: Span[]): Record<string, string> {
  if (value === undefined) return {}
  if (!isObject(value)) throw new Malformed('/__metadata__', 'expected an object of strings')
  const result: Record<string, string> = Object.create(null)
  for (const [key, member] of Object.entries(value)) {
    const pointer = jsonPointer('__metadata__', key)
    const span = typeof member === 'bigint' ? spans[Number(member)] : undefined
    if (span?.kind === 'text') result[key] = longText(header, span.start, span.end, pointer)
    else if (typeof member === 'string') result[key] = member
    else throw new Malformed(pointer, 'expected a string')
  }
  return result
}

function longText(header: Uint8Array, start: number, end: number, pointer: string): string {
  const text = Buffer.from(header.subarray(start - 1, end + 1))
  if (!isUtf8(text)) throw new Malformed(pointer, 'expected UTF-8')
  return JSON.parse(text.toString('utf8'))
}

/** The bytes before the tensors' data, which then follow in order; padded so that they begin on a multiple of 8. */
export function safetensorsHeader(
  entries: { name: string; dtype: WrittenType; shape: number[] }[],
  metadata: Record<string, string>,
): Uint8Array {
  let next = 0
  const fields = entries.map(({ name, dtype, shape }) => {
    const start = next
    next += product(shape) * WRITTEN_BYTES[dtype]
    return [
      name,
      { dtype: dtype === 'uint8' ? 'U8' : DTYPE_NAMES[dtype], shape, data_offsets: [start, next] },
    ]
  })
  const json = Buffer.from(JSON.stringify({ __metadata__: metadata, ...Object.fromEntries(fields) }))
  const padded = Math.ceil(json.length / 8) * 8
  const header = Buffer.alloc(8 + padded, ' ')
  header.writeBigUInt64LE(BigInt(padded))
  json.copy(header, 8)
  return header
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
