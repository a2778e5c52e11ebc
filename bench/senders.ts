/** One turn of one connection of an attack; each says how it was answered. */
import { Agent, request } from 'node:http'
import { connect } from 'node:net'
import { WebSocket } from 'ws'

const agent = new Agent({ keepAlive: true })

export function send(url: string, type: string, body: Buffer, signal?: AbortSignal): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const headers = { 'content-type': type, 'content-length': body.length }
  const outgoing = request(url, { method: 'POST', agent, headers, signal }, answer => {
    answer.on('data', () => {})
    answer.on('end', () => resolve(String(answer.statusCode)))
    answer.on('error', reject)
  })
  outgoing.on('error', reject)
  outgoing.end(body)
  return promise
}

/** One run over a connection of its own, up to its end or its error. */
export function stream(url: string, message: Buffer): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const socket = new WebSocket(`${url.replace('http', 'ws')}/v1/stream`)
  socket.on('open', () => socket.send(message.toString()))
  socket.on('message', data => {
    const text = String(data)
    if (text.startsWith('{"type":"layer"')) socket.send('{"type":"credit","id":"a","add":1}')
    const end = /^\{"type":"(done|error)"/.exec(text)
    if (end === null) return
    resolve(end[1] === 'done' ? 'done' : (/"code":"(\w+)"/.exec(text)?.[1] ?? 'error'))
    socket.terminate()
  })
  socket.on('error', reject)
  return promise
}

/** Many short messages in few packets, each of which is answered with an error. */
export function flood(url: string, count: number): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const socket = new WebSocket(`${url.replace('http', 'ws')}/v1/stream`)
  let answers = 0
  socket.on('open', () => {
    for (let index = 0; index < count; index++) socket.send('{"type":"cancel","id":"no"}')
  })
  socket.on('message', () => {
    answers++
    if (answers < count) return
    resolve('answered')
    socket.terminate()
  })
  socket.on('close', code => resolve(`closed ${code}`))
  socket.on('error', reject)
  return promise
}

/** Frames of one message that never ends, until the connection is cut off; masked, as it were, beforehand: that holds a thread too. */
export function unfinished(url: string, payload: Buffer): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  const header = (opcode: number) => {
    const bytes = Buffer.from([opcode, 0x80 | 127, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4])
    bytes.writeUInt32BE(payload.length, 6)
    return bytes
  }
  const [first, next] = [header(2), header(0)]
  let sent = 0
  const send = () => {
    do socket.write(sent++ === 0 ? first : next)
    while (!socket.destroyed && socket.write(payload))
  }
  socket.once('data', send)
  socket.on('drain', send)
  socket.on('error', reject)
  socket.on('close', () => resolve('cut off'))
  socket.write(
    'GET /v1/stream HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n' +
      'sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n',
  )
  return promise
}

/** Many requests in one packet. */
export function pipeline(url: string, count: number): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  let text = ''
  socket.on('data', data => {
    text = text.slice(-20) + data
    answers += text.split('HTTP/1.1 ').length - 1
    text = text.slice(text.lastIndexOf('HTTP/1.1 ') + 9)
    if (answers < count) return
    resolve('answered')
    socket.destroy()
  })
  let answers = 0
  socket.on('error', reject)
  socket.on('close', () => resolve('closed'))
  socket.write('GET /health/live HTTP/1.1\r\nhost: a\r\n\r\n'.repeat(count))
  return promise
}
