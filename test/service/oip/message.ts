/** Writes and reads messages of the Open Inference Protocol in a second, independent way. */
import type { Server } from '../server.ts'

export interface Input {
  name: string
  datatype: string
  shape: number[]
  /** elements in the JSON text, or bytes behind it */
  data?: unknown
  bytes?: Uint8Array
  parameters?: Record<string, unknown>
}

export interface Output {
  name: string
  datatype: string
  shape: number[]
  data?: unknown[]
  parameters?: { binary_data_size: number }
  bytes?: Buffer
}

export interface Answer {
  status: number
  headers: Headers
  // biome-ignore lint/suspicious/noExplicitAny: whatever the server sent; the tests say what it must be
  body: any
  outputs: Record<string, Output>
}

const LENGTH = 'inference-header-content-length'

export const float32 = (...values: number[]) => new Uint8Array(Float32Array.from(values).buffer)

/** The request, and where its text ends. */
export function write(inputs: Input[], more: object = {}): { body: Buffer; text: number } {
  const listed = inputs.map(({ bytes, ...input }) =>
    bytes === undefined
      ? input
      : { ...input, parameters: { binary_data_size: bytes.length, ...input.parameters } },
  )
  const text = Buffer.from(JSON.stringify({ inputs: listed, ...more }))
  return { body: Buffer.concat([text, ...inputs.flatMap(({ bytes }) => bytes ?? [])]), text: text.length }
}

export async function infer(
  server: Server,
  model: string,
  inputs: Input[],
  more: object = {},
  headers: Record<string, string> = {},
): Promise<Answer> {
  const { body, text } = write(inputs, more)
  const length: Record<string, string> = text < body.length ? { [LENGTH]: String(text) } : {}
  return send(server, `/v2/models/${model}/infer`, body, { ...length, ...headers })
}

export async function send(
  server: Server,
  path: string,
  body: Buffer | string | undefined,
  headers: Record<string, string> = {},
  method = 'POST',
): Promise<Answer> {
  const sent = typeof body === 'string' ? Buffer.from(body) : body
  const bytes = sent && new Uint8Array(sent)
  // a body of bytes gets no Content-Type, as from tritonclient
  const response = await fetch(server.url + path, { method, headers, ...(bytes && { body: bytes }) })
  const answer = Buffer.from(await response.arrayBuffer())
  const length = response.headers.get(LENGTH)
  const text = length === null ? answer.length : Number(length)
  const parsed = text === 0 ? undefined : JSON.parse(answer.subarray(0, text).toString())
  const outputs: Record<string, Output> = {}
  let at = text
  for (const output of parsed?.model_name === undefined ? [] : (parsed.outputs as Output[])) {
    const size = output.parameters?.binary_data_size
    outputs[output.name] = size === undefined ? output : { ...output, bytes: answer.subarray(at, at + size) }
    at += size ?? 0
  }
  if (at !== answer.length) throw new Error(`${answer.length - at} bytes are nobody's`)
  return { status: response.status, headers: response.headers, body: parsed, outputs }
}

/** The elements of an output in float32, as bytes. */
export function bits({ data, bytes, datatype }: Output): Buffer {
  if (bytes !== undefined) return Buffer.from(bytes)
  if (datatype === 'FP64') return Buffer.from(Float64Array.from(data as number[], Number).buffer)
  return Buffer.from(Float32Array.from(data as number[], Number).buffer)
}
