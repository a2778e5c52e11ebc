/** Handshakes of a WebSocket, and how they end. */
import { WebSocket } from 'ws'
import type { Server } from '../server.ts'

export interface Handshake {
  status: number
  type?: string
  code?: string
  headers?: Record<string, string | string[] | undefined>
}

/** 101 where a stream was opened, which is closed again unless it is to be `kept`; else its refusal. */
export function handshake(
  server: Pick<Server, 'url'>,
  headers: Record<string, string> = {},
  query = '',
  kept?: WebSocket[],
): Promise<Handshake> {
  const socket = new WebSocket(`${server.url.replace('http', 'ws')}/v1/stream${query}`, { headers })
  return new Promise((resolve, reject) => {
    socket.on('error', reject)
    socket.on('open', () => {
      if (kept === undefined) socket.close()
      else kept.push(socket)
      resolve({ status: 101 })
    })
    socket.on('unexpected-response', async (_request, answer) => {
      let text = ''
      for await (const chunk of answer) text += chunk
      const type = answer.headers['content-type'] ?? ''
      resolve({
        status: answer.statusCode ?? 0,
        type,
        code: JSON.parse(text).code,
        headers: answer.headers,
      })
    })
  })
}
