/** Tiny checkpoints of test/fixtures/models, and what transformers computes with them in float64 (make-models.py). */
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type FileTensor, readFile, readFileTensors, values, writeFile } from '../safetensors-file.ts'
import { SAFETENSORS_TYPE, type Server } from '../server.ts'

export const MODELS = fileURLToPath(new URL('../../fixtures/models', import.meta.url))
export const NAMES = readdirSync(MODELS).sort()

export interface Tokenised {
  ids: number[]
  strings: string[]
  offsets: [number, number][]
}

export interface Fixture {
  name: string
  kind: 'masked' | 'causal' | 'text'
  token: number
  lengths: number[]
  texts: {
    text: string
    text_pair?: string
    add_special_tokens?: boolean
    truncate?: boolean
    tokens: Tokenised
  }[]
  generated: { prompt: number[]; ids: number[] } | null
  tensors: Record<string, FileTensor>
}

export function readFixture(name: string): Fixture {
  const { tensors, metadata } = readFileTensors(readFileSync(`${MODELS}/${name}/expected.safetensors`))
  return { name, tensors, ...JSON.parse(metadata.expected) }
}

/** Asks in safetensors for the fixture's batch; more tensors may go with it. */
export async function forward(
  server: Server,
  { name, tensors }: Fixture,
  request: object,
  more: Record<string, FileTensor> = {},
) {
  const { token_ids, attention_mask } = tensors
  const response = await fetch(`${server.url}/v1/models/${name}/forward`, {
    method: 'POST',
    headers: { 'content-type': SAFETENSORS_TYPE, accept: SAFETENSORS_TYPE },
    body: writeFile({ token_ids, attention_mask, ...more }, { request: JSON.stringify(request) }),
  })
  const bytes = Buffer.from(await response.arrayBuffer())
  if (response.status !== 200) throw new Error(`${response.status} ${bytes.toString()}`)
  return readFile(bytes)
}

/** Largest difference between what came and what should have. */
export function worst(got: FileTensor, right: FileTensor): number {
  if (got.shape.join() !== right.shape.join()) throw new Error(`[${got.shape}] instead of [${right.shape}]`)
  const wanted = values(right)
  return values(got).reduce((most, value, at) => Math.max(most, Math.abs(value - wanted[at])), 0)
}

/**
 * The same over rows that are no padding, of [B, N, d] or [B, H, N, M]: a row of padding whose window has no key is uniform in
 * transformers and zeros here.
 */
export function worstReal(got: FileTensor, right: FileTensor, lengths: number[]): number {
  if (got.shape.join() !== right.shape.join()) throw new Error(`[${got.shape}] instead of [${right.shape}]`)
  const [batch, ...rest] = right.shape
  const [positions, width] = rest.slice(-2)
  const heads = rest.length === 3 ? rest[0] : 1
  const [ours, theirs] = [values(got), values(right)]
  let most = 0
  for (let row = 0; row < batch * heads * positions; row++) {
    const live = positions === 1 ? 1 : lengths[Math.floor(row / (heads * positions))]
    if (row % positions >= live) continue
    for (let at = row * width; at < (row + 1) * width; at++)
      most = Math.max(most, Math.abs(ours[at] - theirs[at]))
  }
  return most
}

/** What transformers' own float32 evaluation errs, by model and tensor (make-model-errors.py). */
export const PLAIN: Record<string, Record<string, number>> = JSON.parse(
  readFileSync(fileURLToPath(new URL('../../fixtures/models-float32.json', import.meta.url)), 'utf8'),
)

/**
 * Which of a model's float32 tensors err more than twice what transformers' own float32 evaluation does: root mean squares over rows that are
 * no padding, or one rounding of the largest element.
 */
export function overBudget(
  { name, lengths }: Fixture,
  wanted: readonly (readonly [string, FileTensor])[],
  got: (key: string) => FileTensor,
): string[] {
  return wanted.flatMap(([key, right]) => {
    const ours = values(got(key))
    const truth = values(right)
    const rows = rowsOf(right, lengths)
    let [sum, most, count] = [0, 0, 0]
    for (const [at, value] of truth.entries()) {
      if (!rows(at)) continue
      sum += (ours[at] - value) ** 2
      most = Math.max(most, Math.abs(value))
      count++
    }
    const error = Math.sqrt(sum / count)
    const budget = Math.max(2 * PLAIN[name][key], 2 ** -24 * most)
    return error <= budget ? [] : [`${key}: ${error} > ${budget}`]
  })
}

/** Whether an element of [B, N, d] or [B, H, N, M] belongs to a row that is no padding. */
function rowsOf({ shape }: FileTensor, lengths: number[]): (at: number) => boolean {
  const [positions, width] = shape.slice(-2)
  const heads = shape.length === 4 ? shape[1] : 1
  if (positions === 1) return () => true
  return at => {
    const row = Math.floor(at / width)
    return row % positions < lengths[Math.floor(row / (heads * positions))]
  }
}

/** Those whose names begin so, with what follows. */
export function below(
  tensors: Record<string, FileTensor>,
  prefix: string,
): [name: string, tensor: FileTensor][] {
  return Object.entries(tensors).flatMap(([name, tensor]) => {
    return name.startsWith(prefix) ? [[name.slice(prefix.length), tensor] as [string, FileTensor]] : []
  })
}
