/** Tensors as typed arrays. */

export type DType = 'float64' | 'float32' | 'float16' | 'bfloat16' | 'int64' | 'int32' | 'bool'

/** `float16` and `bfloat16` are held as words of 16 bits, `bool` as bytes. */
export type TypedArray =
  | Float64Array<ArrayBuffer>
  | Float32Array<ArrayBuffer>
  | Uint16Array<ArrayBuffer>
  | BigInt64Array<ArrayBuffer>
  | Int32Array<ArrayBuffer>
  | Uint8Array<ArrayBuffer>

const ARRAYS = {
  float64: Float64Array,
  float32: Float32Array,
  float16: Uint16Array,
  bfloat16: Uint16Array,
  int64: BigInt64Array,
  int32: Int32Array,
  bool: Uint8Array,
}

export type Nested = number | boolean | Nested[]

export class Tensor {
  readonly dtype: DType
  readonly shape: number[]
  /** the elements, the last axis varying fastest */
  readonly data: TypedArray

  constructor(data: TypedArray, shape: number[] = [data.length], dtype: DType = typeOf(data)) {
    const count = shape.reduce((product, extent) => product * extent, 1)
    if (count !== data.length) {
      throw new RangeError(
        `expected ${count} elements for the shape [${shape.join(', ')}], got ${data.length}`,
      )
    }
    if (!(data instanceof ARRAYS[dtype])) {
      throw new TypeError(`expected a ${ARRAYS[dtype].name} for ${dtype}, got a ${data.constructor.name}`)
    }
    this.dtype = dtype
    this.shape = shape
    this.data = data
  }

  /** Of bytes as they stand in a file. */
  static fromBytes(bytes: Uint8Array, shape: number[], dtype: DType): Tensor {
    // a copy stands where its elements may stand
    const { buffer } = new Uint8Array(bytes)
    return new Tensor(new ARRAYS[dtype](buffer), shape, dtype)
  }

  get bytes(): Uint8Array<ArrayBuffer> {
    const { buffer, byteOffset, byteLength } = this.data
    return new Uint8Array(buffer, byteOffset, byteLength)
  }

  /** The elements as numbers: halves are widened, integers beyond 2^53 lose their last digits. */
  numbers(): Float64Array<ArrayBuffer> {
    const { dtype, data } = this
    if (dtype === 'float16') return Float64Array.from(data as Uint16Array, fromHalf)
    if (dtype === 'bfloat16') return Float64Array.from(data as Uint16Array, fromBfloat16)
    return Float64Array.from(data as ArrayLike<number | bigint> as ArrayLike<number>, Number)
  }

  /** As nested arrays; a number where there is no axis. */
  nested(): Nested {
    const numbers = this.numbers()
    let at = 0
    const axis = (depth: number): Nested =>
      depth === this.shape.length
        ? numbers[at++]
        : Array.from({ length: this.shape[depth] }, () => axis(depth + 1))
    return axis(0)
  }
}

/** `tensor([[1, 0], [0, 1]])`, `tensor(new Float32Array(6), [2, 3])` */
export function tensor(values: Nested | TypedArray, shape?: number[], dtype?: DType): Tensor {
  if (ArrayBuffer.isView(values)) return new Tensor(values, shape, dtype)
  const found: number[] = []
  for (let each = values; Array.isArray(each); each = each[0]) found.push(each.length)
  const numbers: number[] = []
  let isTruth = false
  const take = (each: Nested, depth: number): void => {
    if (Array.isArray(each) ? each.length !== found[depth] : depth !== found.length) {
      throw new RangeError(`expected arrays of the shape [${found.join(', ')}], got others`)
    }
    if (Array.isArray(each)) {
      for (const inner of each) take(inner, depth + 1)
      return
    }
    isTruth = typeof each === 'boolean'
    numbers.push(Number(each))
  }
  take(values, 0)
  const type = dtype ?? (isTruth ? 'bool' : 'float32')
  if (type === 'float16' || type === 'bfloat16') {
    throw new TypeError(`expected a Uint16Array of the words of ${type}, got numbers`)
  }
  const data =
    type === 'int64' ? BigInt64Array.from(numbers, value => BigInt(value)) : ARRAYS[type].from(numbers)
  return new Tensor(data as TypedArray, shape ?? found, type)
}

function typeOf(data: TypedArray): DType {
  if (data instanceof Uint16Array) throw new TypeError('expected float16 or bfloat16 beside a Uint16Array')
  const found = Object.entries(ARRAYS).find(([, array]) => data instanceof array)
  return found?.[0] as DType
}

const words = new Uint32Array(1)
const single = new Float32Array(words.buffer)

function fromBfloat16(word: number): number {
  words[0] = word << 16
  return single[0]
}

function fromHalf(word: number): number {
  const sign = word & 0x8000 ? -1 : 1
  const exponent = (word >>> 10) & 0x1f
  const mantissa = word & 0x3ff
  if (exponent === 0x1f) return mantissa === 0 ? sign * Infinity : Number.NaN
  return exponent === 0 ? sign * mantissa * 2 ** -24 : sign * (1024 + mantissa) * 2 ** (exponent - 25)
}
