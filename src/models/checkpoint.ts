/** A folder as save_pretrained writes it: its configuration, and where every tensor of its files stands. Nothing of a file is believed. */
import { type FileHandle, open, readFile, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { type Fields, invalid, isFields, ModelConfig, unsupported } from './config.ts'

export type WeightType = 'F32' | 'F16' | 'BF16'
export const TYPE_BYTES: Record<WeightType, number> = { F32: 4, F16: 2, BF16: 2 }
const TYPE_NAMES: Record<WeightType, string> = { F32: 'float32', F16: 'float16', BF16: 'bfloat16' }

export interface StoredTensor {
  file: string
  /** of its first byte in the file */
  start: number
  /** as the file names it */
  dtype: string
  shape: number[]
}

export interface Checkpoint {
  folder: string
  config: ModelConfig
  tensors: Map<string, StoredTensor>
  tokenizer: boolean
  tokenizerConfig: Fields
  /** how it generates; undefined where config.json alone says it */
  generation: ModelConfig | undefined
}

/** Of the format's own implementation. */
const MOST_HEADER = 100_000_000
const MOST_JSON = 64 << 20
const BYTES: Record<string, number> = {
  ...TYPE_BYTES,
  F64: 8,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
  F8_E4M3: 1,
  F8_E5M2: 1,
}
/** Names that quantised checkpoints have beside their weights. */
const QUANTISED = /(_scale|_scale_inv|\.qweight|\.qzeros|\.scales|\.absmax|\.quant_map|\.SCB|weight_packed)$/

export async function readCheckpoint(folder: string): Promise<Checkpoint> {
  const fields = await readJson(folder, 'config.json')
  const config = new ModelConfig(fields)
  const quantisation = config.object('quantization_config')
  if (quantisation !== undefined) {
    const method = quantisation.has('quant_method') ? quantisation.text('quant_method') : 'of an unknown kind'
    throw unsupported(`config.json: quantization_config: a quantised model (${method}) is not supported`)
  }
  const tensors = new Map<string, StoredTensor>()
  const [index, single] = await Promise.all([
    exists(join(folder, 'model.safetensors.index.json')),
    exists(join(folder, 'model.safetensors')),
  ])
  if (index) await readShards(folder, tensors)
  else if (single) await readFileHeader(folder, 'model.safetensors', tensors)
  else throw invalid('expected model.safetensors or model.safetensors.index.json, got neither')
  const tokenizer = await exists(join(folder, 'tokenizer.json'))
  const tokenizerConfig = await readIfThere(folder, 'tokenizer_config.json')
  const generation = await readIfThere(folder, 'generation_config.json')
  return {
    folder,
    config,
    tensors,
    tokenizer,
    tokenizerConfig: tokenizerConfig ?? {},
    generation: generation && new ModelConfig(generation),
  }
}

/** Ids with which a generated text ends: as in transformers, those of generation_config.json go first. */
export function endTokens({ config, generation }: Pick<Checkpoint, 'config' | 'generation'>): number[] {
  return (generation?.has('eos_token_id') ? generation : config).ids('eos_token_id')
}

async function readIfThere(folder: string, name: string): Promise<Fields | undefined> {
  return (await exists(join(folder, name))) ? await readJson(folder, name) : undefined
}

/** The type of most of the weights, in the words of requests. */
export function typeOf(tensors: Iterable<StoredTensor>): string {
  const counts = new Map<string, number>()
  for (const { dtype, shape } of tensors) {
    counts.set(dtype, (counts.get(dtype) ?? 0) + shape.reduce((product, extent) => product * extent, 1))
  }
  const [most] = [...counts].sort(([, a], [, b]) => b - a)
  return TYPE_NAMES[most?.[0] as WeightType] ?? 'float32'
}

async function exists(file: string): Promise<boolean> {
  return stat(file).then(
    found => found.isFile(),
    () => false,
  )
}

async function readJson(folder: string, name: string): Promise<Fields> {
  const file = join(folder, name)
  const { size } = await stat(file).catch(() => {
    throw invalid(`expected ${name}, got no such file`)
  })
  if (size > MOST_JSON) throw invalid(`${name}: expected at most ${MOST_JSON} bytes, got ${size}`)
  return parseObject(await readFile(file, 'utf8'), name)
}

function parseObject(text: string, name: string): Fields {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw invalid(`${name}: expected JSON: ${(error as Error).message}`)
  }
  if (!isFields(value)) throw invalid(`${name}: expected an object`)
  return value
}

async function readShards(folder: string, tensors: Map<string, StoredTensor>): Promise<void> {
  const name = 'model.safetensors.index.json'
  const map = (await readJson(folder, name)).weight_map
  if (!isFields(map)) throw invalid(`${name}: expected weight_map, an object of tensors and their files`)
  const files = new Set<string>()
  for (const file of Object.values(map)) {
    if (typeof file !== 'string' || file === '' || basename(file) !== file || file.includes('\\')) {
      throw invalid(`${name}: weight_map: expected names of files in the folder, got ${JSON.stringify(file)}`)
    }
    files.add(file)
  }
  const found = new Map<string, StoredTensor>()
  for (const file of files) await readFileHeader(folder, file, found)
  for (const [tensor, file] of Object.entries(map)) {
    const stored = found.get(tensor)
    if (stored === undefined || basename(stored.file) !== file) {
      throw invalid(`${name}: ${tensor} should stand in ${String(file)}, and does not`)
    }
    tensors.set(tensor, stored)
  }
}

async function readFileHeader(
  folder: string,
  name: string,
  tensors: Map<string, StoredTensor>,
): Promise<void> {
  const file = join(folder, name)
  const handle = await open(file).catch(() => {
    throw invalid(`expected ${name}, got no such file`)
  })
  try {
    const { size } = await handle.stat()
    const header = await headerOf(handle, size, name)
    const data = 8 + header.bytes
    const entries = Object.entries(header.fields).filter(([key]) => key !== '__metadata__')
    const places = entries.map(([tensor, entry]) => readEntry(tensor, entry, name))
    cover(places, size - data, name)
    for (const { tensor, begin, dtype, shape } of places) {
      tensors.set(tensor, { file, start: data + begin, dtype, shape })
    }
  } finally {
    await handle.close()
  }
}

async function headerOf(handle: FileHandle, size: number, name: string) {
  if (size < 8) throw invalid(`${name}: expected at least 8 bytes, got ${size}`)
  const length = Buffer.alloc(8)
  await handle.read(length, 0, 8, 0)
  const bytes = length.readBigUInt64LE()
  const most = Math.min(MOST_HEADER, size - 8)
  if (bytes > most) throw invalid(`${name}: expected a header of at most ${most} bytes, got ${bytes}`)
  const text = Buffer.alloc(Number(bytes))
  await handle.read(text, 0, text.length, 8)
  return { bytes: text.length, fields: parseObject(text.toString('utf8'), `${name}'s header`) }
}

interface Place {
  tensor: string
  dtype: string
  shape: number[]
  begin: number
  end: number
}

function readEntry(tensor: string, entry: unknown, name: string): Place {
  if (QUANTISED.test(tensor)) throw unsupported(`${name}: ${tensor}: a quantised model is not supported`)
  const { dtype, shape, data_offsets: offsets } = isFields(entry) ? entry : {}
  if (typeof dtype !== 'string' || BYTES[dtype] === undefined) {
    throw unsupported(`${name}: ${tensor}: dtype ${JSON.stringify(dtype)} is not supported`)
  }
  if (dtype.startsWith('F8') || dtype === 'I8' || dtype === 'U8') {
    throw unsupported(`${name}: ${tensor}: a quantised model (${dtype}) is not supported`)
  }
  if (!isWholeList(shape)) throw invalid(`${name}: ${tensor}: expected a shape of whole numbers`)
  if (!isWholeList(offsets) || offsets.length !== 2)
    throw invalid(`${name}: ${tensor}: expected two data_offsets`)
  const bytes = shape.reduce((product, extent) => product * extent, BYTES[dtype])
  const [begin, end] = offsets
  if (end - begin !== bytes) {
    const got = `[${begin}, ${end}]`
    throw invalid(
      `${name}: ${tensor}: expected ${bytes} bytes for ${dtype} [${shape.join(', ')}], got ${got}`,
    )
  }
  return { tensor, dtype, shape, begin, end }
}

function isWholeList(value: unknown): value is number[] {
  return Array.isArray(value) && value.every(item => Number.isSafeInteger(item) && item >= 0)
}

/** The tensors follow one another up to the file's last byte. */
function cover(places: Place[], bytes: number, name: string): void {
  let next = 0
  for (const { tensor, begin, end } of places.toSorted((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (begin !== next) throw invalid(`${name}: ${tensor}: expected to begin at ${next}, got ${begin}`)
    next = end
  }
  if (next !== bytes)
    throw invalid(`${name}: expected ${next} bytes of tensors behind the header, got ${bytes}`)
}
