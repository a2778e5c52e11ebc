/** One run over `GET /v1/stream`: its frames in order, without what the clock or the load decides. */
import { once } from 'node:events'
import { type RawData, WebSocket } from 'ws'
import type { Server } from '../server.ts'
import type { Run } from './runs.ts'
import { digest, problemLine, type Seen } from './send.ts'
import { written } from './tensors.ts'

const ENDS = ['done', 'error', 'cancelled']

interface Frame {
  type: string
  timing?: unknown
  pass?: string
  index?: number
  plan?: { flops: number; bytes: number }
  problem?: { status: number; code: string }
  file?: Buffer
}

export async function framesOf(server: Server, run: Run): Promise<Seen> {
  const socket = new WebSocket(`${server.url.replace('http', 'ws')}/v1/stream`)
  const waiting: Frame[] = []
  let wake = Promise.withResolvers<void>()
  socket.on('message', (data: RawData, binary) => {
    waiting.push(read(data as Buffer, binary))
    wake.resolve()
    wake = Promise.withResolvers<void>()
  })
  await once(socket, 'open')
  const next = async (): Promise<Frame> => {
    while (waiting.length === 0) await wake.promise
    return waiting.shift() as Frame
  }
  const start = { type: 'start', id: 'a', ...run.start }
  socket.send(written(start, run.file ? 'safetensors' : 'flat'), { binary: run.file === true })
  const frames: Frame[] = []
  for (let ended = false; !ended; ) {
    const frame = await next()
    if (frame.type === 'layer') socket.send(JSON.stringify({ type: 'credit', id: 'a', add: 1 }))
    // progress is told when the outbox has room for it
    if (frame.type !== 'progress') frames.push(frame)
    ended = ENDS.includes(frame.type)
  }
  for (const fetch of run.fetches ?? []) {
    socket.send(JSON.stringify({ type: 'fetch', id: 'a', ...fetch }))
    frames.push(await next())
  }
  socket.close()
  await once(socket, 'close')
  return {
    record: frames.map(line).join(' | '),
    head: frames.map(start => JSON.stringify(start).slice(0, 80)).join('\n'),
  }
}

function read(data: Buffer, binary: boolean): Frame {
  if (!binary) return JSON.parse(data.toString()) as Frame
  const end = 8 + data.readUInt32LE(0)
  const { __metadata__: metadata, ...entries } = JSON.parse(data.subarray(8, end).toString())
  return { ...JSON.parse(metadata.frame), entries, file: data.subarray(end) }
}

/** `forward 0 4f…`; the estimate of a run in figures. */
function line(frame: Frame): string {
  if (frame.plan) return `${frame.type} ${frame.plan.flops} flops ${frame.plan.bytes} bytes`
  if (frame.problem) return `${frame.type} ${problemLine(frame.problem)}`
  const { timing: _, file = '', ...rest } = frame
  const layer = frame.type === 'layer' ? `${frame.pass} ${frame.index}` : frame.type
  return `${layer} ${digest(JSON.stringify(rest), file)}`
}
