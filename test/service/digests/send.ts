/** Sends the requests of the digests and says in a line what came back. */
import { createHash } from 'node:crypto'
import type { Server } from '../server.ts'
import type { Case } from './case.ts'
import type { Plan } from './plans.ts'
import type { BadCase } from './problems.ts'
import { written } from './tensors.ts'

const JSON_TYPE = 'application/json'
const FILE_TYPE = 'application/x-safetensors'
const HEAD = 400

export interface Seen {
  /** what the table holds */
  record: string
  /** the beginning of the answer, for finding out what has changed */
  head: string
}

interface ProblemBody {
  status: number
  code: string
  request_id?: string
  errors?: { path: string }[]
}

interface PlanBody {
  shapes: Record<string, number[]>
  flops: number
  bytes: number
  admitted: boolean
  problem?: { code: string }
}

/** 64 bits of SHA-256 tell a change as surely as 256. */
export function digest(...pieces: (string | Uint8Array)[]): string {
  const hash = createHash('sha256')
  for (const piece of pieces) hash.update(piece)
  return hash.digest('hex').slice(0, 16)
}

export function head(bytes: Uint8Array): string {
  // a safetensors file begins with its length and then a readable header
  return Buffer.from(bytes.subarray(0, HEAD))
    .toString()
    .replace(/[^\x20-\x7e]+/g, '·')
}

async function bytesOf(response: Response): Promise<Buffer> {
  return Buffer.from(await response.arrayBuffer())
}

/** An answer, byte for byte. */
export async function answerOf(server: Server, { path, body, form = 'flat', binary }: Case): Promise<Seen> {
  const response = await fetch(server.url + path, {
    method: 'POST',
    headers: {
      'content-type': form === 'safetensors' ? FILE_TYPE : JSON_TYPE,
      accept: binary ? FILE_TYPE : JSON_TYPE,
    },
    body: written(body(), form),
  })
  const bytes = await bytesOf(response)
  const status = response.status === 200 ? '' : `${response.status} `
  return { record: status + digest(bytes), head: head(bytes) }
}

/** A problem without the id of its request. */
export function problemLine(problem: ProblemBody): string {
  const { request_id: _, ...rest } = problem
  const places = (problem.errors ?? []).map(({ path }) => path || '(body)')
  return [problem.status, problem.code, ...places, digest(JSON.stringify(rest))].join(' ')
}

export async function problemOf(
  server: Server,
  { path, method = 'POST', type, body }: BadCase,
): Promise<Seen> {
  const plain = typeof body === 'string' || Buffer.isBuffer(body) || body === undefined
  const response = await fetch(server.url + path, {
    method,
    headers: { 'content-type': type ?? JSON_TYPE },
    body: plain ? body : JSON.stringify(body),
  })
  const bytes = await bytesOf(response)
  if (response.status < 400) return { record: `${response.status} ${digest(bytes)}`, head: head(bytes) }
  return { record: problemLine(JSON.parse(bytes.toString()) as ProblemBody), head: head(bytes) }
}

/** The shapes as a digest; the estimate in figures, so that a correction of it can be told apart. `seconds` is the machine's. */
export async function planOf(server: Server, { body }: Plan): Promise<Seen> {
  const response = await fetch(`${server.url}/v1/plan`, {
    method: 'POST',
    headers: { 'content-type': JSON_TYPE },
    body: JSON.stringify(body()),
  })
  const bytes = await bytesOf(response)
  if (response.status !== 200) return { record: `${response.status} ${digest(bytes)}`, head: head(bytes) }
  const { shapes, flops, bytes: memory, admitted, problem } = JSON.parse(bytes.toString()) as PlanBody
  const verdict = admitted ? 'admitted' : (problem?.code ?? 'no reason')
  const record = `${digest(JSON.stringify(shapes))}, ${flops} flops, ${memory} bytes, ${verdict}`
  return { record, head: head(bytes) }
}
