/** In front of a stream: on the first connection it says after one layer that the server goes away; what comes next is given as it is. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { WebSocket, WebSocketServer } from 'ws'

export interface LeavingServer {
  url: string
  /** what runs were started with on each connection, as text */
  starts: string[]
  close(): Promise<void>
}

/** `refused`: connections that are refused before another is taken. */
export async function startLeavingServer(behind: string, refused = 1): Promise<LeavingServer> {
  const starts: string[] = []
  const server = createServer()
  const sockets = new WebSocketServer({ noServer: true, maxPayload: 1 << 30 })
  let connections = 0
  server.on('upgrade', (request, socket, head) => {
    connections++
    if (connections > 1 && connections <= 1 + refused) {
      socket.end('HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\n\r\n')
      return
    }
    const leaves = connections === 1
    sockets.handleUpgrade(request, socket, head, client => relay(client, leaves))
  })
  function relay(client: WebSocket, leaves: boolean): void {
    const target = new WebSocket(`${behind.replace('http', 'ws')}/v1/stream`, { maxPayload: 1 << 30 })
    const opened = once(target, 'open')
    let layers = 0
    client.on('message', async (data, binary) => {
      const text = data.toString()
      if (text.includes('start')) starts.push(text)
      await opened
      target.send(data, { binary })
    })
    target.on('message', (data, binary) => {
      const text = data.toString()
      if (leaves && layers === 1) return
      client.send(data, { binary })
      if (!/"type":"layer"|\\"type\\":\\"layer\\"/.test(text)) return
      layers++
      const [, id] = /\\?"id\\?":\\?"([^"\\]+)/.exec(text) ?? []
      if (!leaves) return
      const resume = [{ id, pass: 'forward', from_layer: 1 }]
      client.send(JSON.stringify({ type: 'going_away', resume }))
    })
    client.on('close', () => target.close())
    target.on('close', () => client.close())
    for (const each of [client, target]) each.on('error', () => {})
  }
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    starts,
    async close() {
      for (const each of sockets.clients) each.terminate()
      server.closeAllConnections()
      server.close()
    },
  }
}
