/** A request of the soak tests, and its answer's bytes. */
import type { Server } from '../service/server.ts'

export interface Sent {
  path: string
  type: string
  body: Buffer<ArrayBuffer>
  accept?: string
}

/** Status and bytes, but for what differs between two answers that say the same. */
export async function answerOf({ url }: Server, { path, type, body, accept = type }: Sent): Promise<string> {
  const headers = { 'content-type': type, accept }
  const response = await fetch(url + path, { method: 'POST', headers, body })
  const text = Buffer.from(await response.arrayBuffer()).toString('latin1')
  return `${response.status} ${text.replaceAll(/"request_id":"[^"]*"|"seconds":[^,}]*/g, '')}`
}
