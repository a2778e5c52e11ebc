/**
 * A tensor of a request before its elements are read: its shape, and where and how its elements are written. In JSON it has
 * three forms: nested arrays, {shape, data}, {shape, dtype, base64}.
 */
import { ELEMENT_BYTES, type ElementType } from '../../workers/contract.ts'
import { latin1 } from '../../workers/text/json-cursor.ts'
import { shortened } from '../../workers/text/json-pointer.ts'
import { expandNumbers, isShort, type Span } from '../../workers/text/json-spans.ts'

export interface TensorSource {
  shape: number[]
  count: number
  /** element type on the wire; JSON numbers without a dtype are float64, booleans bool */
  dtype: ElementType
  /**
   * how it came: nested arrays, {shape, data}, {shape, base64}, a tensor of a safetensors file, {shape} alone; `kept`: float32 that
   * was looked at when it was loaded, aligned in shared memory
   */
  form: 'nested' | 'flat' | 'base64' | 'safetensors' | 'shape' | 'kept'
  bytes: Uint8Array // the text or bytes it is part of, in shared memory
  start: number
  end: number
  marks: number[]
  escaped: boolean
  negated?: true // a bool mask in which true means the opposite
  written?: number[] // its shape in the request, where a dialect reads it in another
  shift?: number // of a kept one: what is added to every element
}

export function product(shape: number[]): number {
  return shape.reduce((total, extent) => total * extent, 1)
}

const MAX_RANK = 8
/** Most of one extent, and most of the product of those that are not 0: an extent of 0 makes the others free to send. */
export const MOST_EXTENT = 2 ** 30
const MOST_ELEMENTS = 2 ** 40

/** What is wrong with the shape of a tensor of any format; `axis` is undefined where it is the number of axes. */
export function shapeFault(shape: unknown[]): { axis: number | undefined; message: string } | undefined {
  if (shape.length > MAX_RANK) {
    return { axis: undefined, message: `expected at most ${MAX_RANK} axes, got ${shape.length}` }
  }
  let room = MOST_ELEMENTS
  for (let axis = 0; axis < shape.length; axis++) {
    const extent = shape[axis]
    if (typeof extent !== 'number' || !Number.isSafeInteger(extent) || extent < 0) {
      return { axis, message: `expected a non-negative integer, got ${name(extent)}` }
    }
    const most = Math.min(MOST_EXTENT, Math.floor(room))
    if (extent > most)
      return { axis, message: `expected at most ${most}${besideOthers(most)}, got ${extent}` }
    room /= Math.max(1, extent)
  }
  return undefined
}

function besideOthers(most: number): string {
  return most === MOST_EXTENT ? '' : ' beside the extents before it'
}

/** Where the shape stands, below the tensor's own pointer: `/k/shape` or `/k`. */
export function shapePointer(source: TensorSource): string {
  return source.form === 'nested' || source.form === 'safetensors' ? '' : '/shape'
}

/** Where element `index` stands, below the tensor's own pointer; '' where a pointer cannot reach it. */
export function elementPointer(source: TensorSource, index: number): string {
  if (source.form === 'flat') return `/data/${index}`
  return source.form === 'nested' ? `/${indices(source.written ?? source.shape, index).join('/')}` : ''
}

/** The indices of flat element `index`. */
export function indices(shape: number[], index: number): number[] {
  const result: number[] = []
  let rest = index
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    result.unshift(rest % shape[axis])
    rest = Math.floor(rest / shape[axis])
  }
  return result
}

/** An array of numbers (or booleans) that was located in the body's text, not read. */
export class NumbersSpan {
  readonly bytes: Uint8Array
  readonly span: Extract<Span, { kind: 'numbers' }>

  constructor(bytes: Uint8Array, span: Extract<Span, { kind: 'numbers' }>) {
    this.bytes = bytes
    this.span = span
  }

  /** The numbers as plain arrays where they are a short list, such as a shape; else itself. */
  toArray(most: number): unknown {
    return this.span.count <= most && isShort(this.span) ? expandNumbers(this.bytes, this.span) : this
  }
}

/** A string that was located in the body's text, not read. */
export class TextSpan {
  readonly bytes: Uint8Array
  readonly span: Extract<Span, { kind: 'text' }>

  constructor(bytes: Uint8Array, span: Extract<Span, { kind: 'text' }>) {
    this.bytes = bytes
    this.span = span
  }
}

/** A number that no float64 can hold: `1e400`. */
export class HugeNumber {
  readonly text: string

  constructor(bytes: Uint8Array, { start, end }: Extract<Span, { kind: 'huge' }>) {
    this.text = latin1(bytes, start, Math.min(end, start + MOST_SHOWN))
  }
}

/** A tensor of a safetensors file, put in its place in the request. */
export class FileTensor {
  readonly source: TensorSource

  constructor(source: TensorSource) {
    this.source = source
  }
}

/** Thing wrong with a tensor, at `path` below it. */
export interface TensorFault {
  path: (string | number)[]
  message: string
}

const FIELDS = ['shape', 'dtype', 'data', 'base64']
/** Characters of a number that a message shows. */
const MOST_SHOWN = 32
const NOTHING = new Uint8Array(0)

export const ELEMENT_TYPES = Object.keys(ELEMENT_BYTES) as ElementType[]
/** Those that most tensors may have: float8 is for candidates of a comparison alone. */
const USUAL_TYPES = ELEMENT_TYPES.filter(type => type !== 'float8_e4m3').join(', ')

/** Reads what a tensor says of itself; its elements are read later, by the workers. */
export function readTensor(value: unknown, shapeAlone: boolean): TensorSource | TensorFault {
  if (value instanceof FileTensor) return value.source
  if (isEmpty(value)) return { ...blank([0], 'float64'), form: 'nested' }
  if (value instanceof NumbersSpan) return numbersTensor(value, value.span.shape, 'nested', undefined)
  if (Array.isArray(value)) return wrongElement(value, [])
  if (
    typeof value !== 'object' ||
    value === null ||
    value instanceof TextSpan ||
    value instanceof HugeNumber
  ) {
    return fault(
      [],
      `expected a tensor (nested arrays, {shape, data} or {shape, dtype, base64}), got ${name(value)}`,
    )
  }
  return objectTensor(value as Record<string, unknown>, shapeAlone)
}

/**
 * Arrays that are no located numbers begin with something else: the first thing in them, however deep, is wrong. (What
 * comes after a number has been found out by the scan.)
 */
function wrongElement(list: unknown[], path: TensorFault['path']): TensorFault {
  const [first] = list
  const at = [...path, 0]
  if (Array.isArray(first) && first.length > 0) return wrongElement(first, at)
  return fault(at, `expected a number or a boolean, got ${name(first)}`)
}

function objectTensor(value: Record<string, unknown>, shapeAlone: boolean): TensorSource | TensorFault {
  const unknown = Object.keys(value).find(key => !FIELDS.includes(key))
  if (unknown !== undefined) return fault([unknown], `expected only ${FIELDS.join(', ')}`)
  const shape = readShape(value.shape)
  if (!Array.isArray(shape)) return shape
  const dtype = value.dtype as ElementType | undefined
  if (dtype !== undefined && !ELEMENT_TYPES.includes(dtype)) {
    return fault(['dtype'], `expected one of ${USUAL_TYPES}, got ${name(dtype)}`)
  }
  if (value.data !== undefined && value.base64 !== undefined)
    return fault([], 'expected data or base64, got both')
  if (value.data !== undefined) {
    if (isEmpty(value.data)) return emptyTensor(shape, dtype)
    if (Array.isArray(value.data)) {
      const [first] = value.data
      return fault(['data', 0], `expected a number or a boolean, got ${name(first)}`)
    }
    if (!(value.data instanceof NumbersSpan))
      return fault(['data'], `expected an array of numbers, got ${name(value.data)}`)
    return numbersTensor(value.data, shape, 'flat', dtype)
  }
  if (value.base64 !== undefined) {
    if (!(value.base64 instanceof TextSpan))
      return fault(['base64'], `expected a base64 string, got ${name(value.base64)}`)
    if (dtype === undefined) return fault(['dtype'], `expected one of ${USUAL_TYPES}, got nothing`)
    return base64Tensor(value.base64, shape, dtype)
  }
  if (shapeAlone) return { ...blank(shape, dtype ?? 'float64'), form: 'shape' }
  return fault([], 'expected data or base64 beside the shape, got neither')
}

function numbersTensor(
  { bytes, span }: NumbersSpan,
  shape: number[],
  form: 'nested' | 'flat',
  dtype: ElementType | undefined,
): TensorSource | TensorFault {
  if (form === 'nested') {
    const wrong = shapeFault(shape)
    if (wrong !== undefined) return fault([], `${wrong.message} along axis ${wrong.axis}`)
  } else {
    if (span.shape.length !== 1) return fault(['data', 0], 'expected a number, got an array')
    const count = product(shape)
    if (span.count !== count)
      return fault(['data'], `expected ${count} elements for shape [${shape.join(', ')}], got ${span.count}`)
  }
  const { start, end, marks } = span
  const natural = span.element === 'boolean' ? 'bool' : 'float64'
  if (dtype !== undefined && dtype !== 'bool' && natural === 'bool' && span.count > 0) {
    return fault(['data', 0], `expected numbers (dtype ${dtype}), got booleans`)
  }
  return { ...blank(shape, dtype ?? natural), form, bytes, start, end, marks }
}

function isEmpty(value: unknown): boolean {
  return Array.isArray(value) && value.length === 0
}

/** {shape, data: []} */
function emptyTensor(shape: number[], dtype: ElementType = 'float64'): TensorSource | TensorFault {
  const count = product(shape)
  if (count === 0) return { ...blank(shape, dtype), form: 'flat' }
  return fault(['data'], `expected ${count} elements for shape [${shape.join(', ')}], got 0`)
}

function base64Tensor(
  { bytes, span }: TextSpan,
  shape: number[],
  dtype: ElementType,
): TensorSource | TensorFault {
  const size = product(shape) * ELEMENT_BYTES[dtype]
  const characters = Math.ceil(size / 3) * 4
  if (span.characters !== characters) {
    const wanted = `${characters} base64 characters for ${size} bytes of ${dtype} [${shape.join(', ')}]`
    return fault(['base64'], `expected ${wanted}, got ${span.characters} characters`)
  }
  return {
    ...blank(shape, dtype),
    form: 'base64',
    bytes,
    start: span.start,
    end: span.end,
    marks: span.marks,
    escaped: span.escaped,
  }
}

function readShape(value: unknown): number[] | TensorFault {
  const shape = value instanceof NumbersSpan ? value.toArray(MAX_RANK) : value
  if (!Array.isArray(shape) || shape.length > MAX_RANK) {
    const expected = `expected an array of at most ${MAX_RANK} non-negative integers`
    return fault(['shape'], `${expected}, got ${name(value)}`)
  }
  const wrong = shapeFault(shape)
  if (wrong !== undefined) return fault(['shape', wrong.axis as number], wrong.message)
  return shape as number[]
}

function blank(shape: number[], dtype: ElementType): Omit<TensorSource, 'form'> {
  return { shape, count: product(shape), dtype, bytes: NOTHING, start: 0, end: 0, marks: [], escaped: false }
}

function fault(path: (string | number)[], message: string): TensorFault {
  return { path, message }
}

/** What a value is, for an error message: short, whatever it is. */
export function name(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (value === null) return 'null'
  if (value instanceof NumbersSpan) {
    const { element, shape, start, end } = value.span
    const size = isShort(value.span) ? '' : ` in ${end - start} bytes`
    return `an array of ${element}s of shape [${shape.join(', ')}]${size}`
  }
  if (value instanceof TextSpan) return `a string of ${value.span.end - value.span.start} bytes`
  if (value instanceof HugeNumber) return `number ${value.text}`
  if (value instanceof FileTensor) return `a tensor of shape [${value.source.shape.join(', ')}]`
  if (Array.isArray(value)) return 'an array'
  if (typeof value === 'object') return 'an object'
  // JSON has no words for NaN and the infinities
  const text = typeof value === 'number' ? String(value) : JSON.stringify(value)
  return `${typeof value} ${shortened(text)}`
}
