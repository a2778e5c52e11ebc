/**
 * Upgrades that are none of ours, as Java's HttpClient and `curl --http2` ask for HTTP/2 with each first request: they are ignored,
 * and the request is answered as it is. Node's parser stops behind such a request and drops what its packet holds besides, which
 * may be the next requests: it is given them again.
 */
import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'

/** What is used of Node's parser, which has no types. */
interface Parser {
  [callback: number]: Read | undefined
  incoming: { upgrade?: boolean } | null
  execute(bytes: Buffer): number | Error
  getCurrentBuffer(): Buffer
}

/** Told how many bytes of the packet have been read; what is wrong with them is an error. */
type Read = (bytes: number | Error) => void

export function takesUpgrade(request: IncomingMessage): boolean {
  if (request.headers.upgrade?.toLowerCase() === 'websocket') return true
  keepWhatFollows(request)
  return false
}

function keepWhatFollows(request: IncomingMessage): void {
  const socket = request.socket as Socket & { parser?: Parser | null }
  const parser = socket.parser ?? undefined
  const place = Object.entries(parser ?? {}).find(
    ([, value]) => typeof value === 'function' && /onParserExecute$/.test(value.name),
  )?.[0]
  if (parser === undefined || place === undefined) return
  const key = Number(place)
  const read = parser[key] as Read
  parser[key] = bytes => {
    if (request.complete) {
      parser[key] = read
      if (typeof bytes === 'number') {
        readOn(socket, parser, read, bytes)
        return
      }
    }
    read(bytes)
  }
}

function readOn(socket: Socket & { parser?: unknown }, parser: Parser, read: Read, first: number): void {
  const packet = parser.getCurrentBuffer()
  let done = first
  read(done)
  // until it has been refused, or is another protocol's
  while (done < packet.length && !socket.destroyed && socket.parser === parser) {
    if (socket.isPaused()) {
      // answers that nobody takes: a parser that waits for them takes nothing either
      socket.once('drain', () => {
        if (parser.execute(packet.subarray(done)) !== packet.length - done) socket.destroy()
      })
      return
    }
    const more = parser.execute(packet.subarray(done))
    // of what is no HTTP it takes nothing, and behind an upgrade does not say so
    if (typeof more !== 'number' || more === 0) {
      read(more === 0 ? Object.assign(new Error('Parse Error'), { code: 'HPE_INVALID_METHOD' }) : more)
      return
    }
    done += more
    read(done)
  }
}
