/** Inputs of a request → tensors whose elements stand in its text or in the bytes that follow it, and texts. */
import { ELEMENT_BYTES } from '../../../workers/contract.ts'
import { shortened } from '../../../workers/text/json-pointer.ts'
import { FileTensor, NumbersSpan, name as nameOf, product, type TensorSource } from '../../formats/tensor.ts'
import { fieldProblem, type Problem } from '../../problem.ts'
import { DATATYPES, ELEMENT_TYPE_OF } from './datatypes.ts'
import type { InferenceRequest } from './schema.ts'
import { textsOfBytes, textsOfJson } from './texts.ts'

type Input = InferenceRequest['inputs'][number]

export interface NamedInput {
  name: string
  shape: number[]
  value: FileTensor | string[]
}

/** `backward.grad_params.layers.0.attention.w_q` has 6. */
const MAX_LEVELS = 16
const UNSUPPORTED = ['shared_memory_region', 'shared_memory_byte_size', 'shared_memory_offset']

/** `rest`: what follows the text. Every byte of it belongs to an input. `texts`: the inputs of datatype BYTES. */
export function readInputs(inputs: Input[], rest: Uint8Array, texts: readonly string[]): NamedInput[] {
  const names = new Set<string>()
  let next = 0
  const named = inputs.map((input, index): NamedInput => {
    const { name, datatype, shape, parameters = {} } = input
    const at = `/inputs/${index}`
    if (names.has(name)) {
      const message = `expected one input ${JSON.stringify(shortened(name))}, got two`
      throw fieldProblem('INVALID_REQUEST', `${at}/name`, message)
    }
    names.add(name)
    if (name.split('.', MAX_LEVELS + 1).length > MAX_LEVELS) {
      throw fieldProblem('INVALID_REQUEST', `${at}/name`, `expected a name of at most ${MAX_LEVELS} levels`)
    }
    refuseUnsupported(parameters, at, UNSUPPORTED)
    const { binary_data_size: size } = parameters
    const count = product(shape)
    const place = `${at}/parameters/binary_data_size`
    if (size !== undefined && input.data !== undefined) {
      throw fieldProblem('INVALID_TENSOR', place, 'expected data or binary_data_size, got both')
    }
    const take = (bytes: number) => {
      if (next + bytes > rest.length)
        throw fieldProblem('INVALID_TENSOR', place, tooFew(next + bytes, rest.length))
      next += bytes
      return { start: next - bytes, end: next }
    }
    if (texts.includes(name) !== (datatype === 'BYTES')) throw wrongDatatype(input, at, texts)
    if (datatype === 'BYTES') {
      if (size === undefined) return { name, shape, value: textsOfJson(input.data, count, at) }
      const { start, end } = take(size)
      return { name, shape, value: textsOfBytes(rest.subarray(start, end), count, at) }
    }
    const blank = { shape, count, dtype: ELEMENT_TYPE_OF[datatype] }
    if (size === undefined) return { name, shape, value: new FileTensor(fromText(input, blank, at)) }
    const wanted = count * ELEMENT_BYTES[blank.dtype]
    if (size !== wanted) {
      const message = `expected ${wanted} bytes for ${datatype} [${shape.join(', ')}], got ${size}`
      throw fieldProblem('INVALID_TENSOR', place, message)
    }
    return { name, shape, value: new FileTensor({ ...blank, ...BYTES, bytes: rest, ...take(size) }) }
  })
  if (next < rest.length) {
    const message = `expected ${next} bytes behind the JSON text, as the inputs’ binary_data_size say, got ${rest.length}`
    throw fieldProblem('INVALID_TENSOR', '/inputs', message)
  }
  return named
}

function wrongDatatype({ name, datatype }: Input, at: string, texts: readonly string[]): Problem {
  const tensors = DATATYPES.join(', ')
  const message = texts.includes(name)
    ? `expected BYTES for ${name}, got ${datatype}`
    : `expected one of ${tensors}, got BYTES, which ${texts.length > 0 ? `${texts.join(' and ')} alone have` : 'no input of this model has'}`
  return fieldProblem('INVALID_REQUEST', `${at}/datatype`, message)
}

/** A clear refusal of extensions that this server does not have. */
export function refuseUnsupported(parameters: Record<string, unknown>, at: string, names: string[]): void {
  const name = names.find(each => parameters[each] !== undefined)
  if (name === undefined) return
  throw fieldProblem(
    'INVALID_REQUEST',
    `${at}/parameters/${name}`,
    `expected no ${name}: this server has no such extension`,
  )
}

const BYTES = { form: 'safetensors', marks: [] as number[], escaped: false } as const

function tooFew(wanted: number, got: number): string {
  const header = 'Inference-Header-Content-Length'
  const where = got === 0 ? ` (the header ${header} says where they begin)` : ''
  return `expected at least ${wanted} bytes behind the JSON text${where}, got ${got}`
}

type Blank = Pick<TensorSource, 'shape' | 'count' | 'dtype'>

function fromText({ data, datatype }: Input, blank: Blank, at: string): TensorSource {
  const { shape, count, dtype } = blank
  const wrong = (message: string, below = '') => fieldProblem('INVALID_TENSOR', `${at}/data${below}`, message)
  const sized = `${count} elements for shape [${shape.join(', ')}]`
  if (data === undefined || (Array.isArray(data) && data.length === 0)) {
    // some clients write null for no elements
    if (count === 0)
      return { ...blank, form: 'flat', bytes: NOTHING, start: 0, end: 0, marks: [], escaped: false }
    if (data !== undefined) throw wrong(`expected ${sized}, got 0`)
    throw fieldProblem('INVALID_TENSOR', at, 'expected data or parameters.binary_data_size, got neither')
  }
  if (!(data instanceof NumbersSpan)) {
    const got = Array.isArray(data) ? `an array of something else (${nameOf(data[0])})` : nameOf(data)
    throw wrong(`expected an array of numbers or booleans, got ${got}`)
  }
  const { bytes, span } = data
  if (span.count !== count) throw wrong(`expected ${sized}, got ${span.count}`)
  const flat = span.shape.length === 1
  if (!flat && String(span.shape) !== String(shape)) {
    throw wrong(
      `expected a flat array, or one of shape [${shape.join(', ')}], got [${span.shape.join(', ')}]`,
    )
  }
  if (span.element === 'boolean' && dtype !== 'bool') {
    throw wrong(`expected numbers (datatype ${datatype}), got booleans`)
  }
  const { start, end, marks } = span
  return { ...blank, form: flat ? 'flat' : 'nested', bytes, start, end, marks, escaped: false }
}

const NOTHING = new Uint8Array(0)
