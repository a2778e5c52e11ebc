/**
 * A transformer stack layer by layer, over the WebSocket that Node has built in: how far each head looks around, and how
 * much of the gradient is left on its way down. Where the server shuts down, the run goes on on another one behind the same
 * address.
 *
 *   node stream.ts [server]
 */
const server = process.argv[2] ?? 'http://127.0.0.1:8080'

const LAYERS = 6
const HEADS = 8
const TOKENS = 64
const D_MODEL = 64

interface Tensor {
  shape: number[]
  base64: string
}

/** Where a run stands: the same start goes on there. */
interface Resume {
  id: string
  pass: string
  from_layer?: number
}

/** What this example reads of the server's messages; /asyncapi.json has all of them. */
type Message =
  | { type: 'accepted'; layers: number; plan: { flops: number; bytes: number } }
  | {
      type: 'layer'
      pass: 'forward' | 'backward'
      index: number
      timing: { at: number; compute: number }
      tensors: Partial<Record<'entropy' | 'grad_output' | 'grad_weights', Tensor>>
    }
  | { type: 'progress'; done: number; total: number }
  | { type: 'done'; loss: number; timing: { total: number } }
  | { type: 'going_away'; resume?: Resume[] }
  | { type: 'error'; problem: { code: string; detail: string } }

function numbers(tensor: Tensor | undefined): Float32Array {
  return new Float32Array(Uint8Array.from(Buffer.from(tensor?.base64 ?? '', 'base64')).buffer)
}

/** Root of the mean square, over everything or over each of `parts` equal parts. */
function rms(values: Float32Array, parts = 1): number[] {
  const size = values.length / parts
  return Array.from({ length: parts }, (_, part) => {
    const own = values.subarray(part * size, (part + 1) * size)
    return Math.sqrt(own.reduce((sum, value) => sum + value * value, 0) / size)
  })
}

/** A bar a number, as high as its share of `most`. */
function bars(values: number[], most: number): string {
  return values.map(value => '▁▂▃▄▅▆▇█'[Math.min(7, Math.floor((8 * value) / most))]).join('')
}

let socket: WebSocket
const send = (message: object) => socket.send(JSON.stringify(message))

/** `tries`: how often another server is looked for, where one that shuts down has refused. */
function connect(resume: Resume | undefined, tries: number): void {
  const opened = new WebSocket(`${server.replace(/^http/, 'ws')}/v1/stream`)
  socket = opened
  opened.addEventListener('open', () => start(resume))
  opened.addEventListener('message', ({ data }) => {
    if (opened === socket) receive(JSON.parse(data) as Message)
  })
  opened.addEventListener('error', () => {
    if (opened !== socket) return
    if (tries > 0) {
      setTimeout(connect, 800 / tries, resume, tries - 1)
      return
    }
    console.error(`no stream at ${server}`)
    process.exitCode = 1
  })
}

function start(resume: Resume | undefined): void {
  const x = Float32Array.from({ length: TOKENS * D_MODEL }, (_, i) => Math.sin(i * i * 0.37))
  const tensor = {
    shape: [TOKENS, D_MODEL],
    dtype: 'float32',
    base64: Buffer.from(x.buffer).toString('base64'),
  }
  send({
    type: 'start',
    id: 'example',
    stack: {
      layers: LAYERS,
      heads: HEADS,
      d_ff: 128,
      norm: 'pre',
      activation: 'gelu',
      position: 'alibi',
      causal: true,
      init: { seed: 7 },
    },
    x: tensor,
    pass: 'forward_backward',
    backward: { target: tensor, loss: 'mean_squared_error' },
    emit: ['entropy', 'grad_output', 'grad_weights'],
    encoding: 'base64',
    credit: 2,
    ...(resume && { resume }),
  })
}

function receive(message: Message): void {
  switch (message.type) {
    case 'accepted': {
      const { flops, bytes } = message.plan
      console.log(
        `${message.layers} layers: ${(flops / 1e9).toFixed(2)} GFLOP, ${(bytes / 2 ** 20).toFixed(1)} MiB`,
      )
      break
    }
    case 'layer': {
      const { pass, index, timing, tensors } = message
      const head = `${pass.padEnd(8)} layer ${index}  ${timing.at.toFixed(1).padStart(7)} ms`
      if (pass === 'forward') {
        const rows = numbers(tensors.entropy)
        const means = Array.from({ length: HEADS }, (_, h) => {
          return rows.subarray(h * TOKENS, (h + 1) * TOKENS).reduce((sum, value) => sum + value, 0) / TOKENS
        })
        const attended = means.map(Math.exp)
        console.log(
          `${head}  attends to ${bars(attended, TOKENS / 2)} ${attended.map(n => n.toFixed(0)).join(' ')} tokens`,
        )
      } else {
        const weights = rms(numbers(tensors.grad_weights), HEADS)
        const [reaching] = rms(numbers(tensors.grad_output))
        console.log(
          `${head}  ∂L/∂output ${reaching.toExponential(2)}  ∂L/∂weights ${bars(weights, Math.max(...weights))}`,
        )
      }
      // this layer has been dealt with: the next but one may come
      send({ type: 'credit', id: 'example', add: 1 })
      break
    }
    case 'going_away': {
      // the same start, from the layer at which it stands here: the frames are the same to the bit
      const left = socket
      connect(
        message.resume?.find(({ id }) => id === 'example'),
        8,
      )
      left.close()
      break
    }
    case 'done':
      console.log(`loss ${message.loss.toFixed(4)} after ${message.timing.total.toFixed(0)} ms`)
      socket.close()
      break
    case 'error':
      console.error(`${message.problem.code}: ${message.problem.detail}`)
      process.exitCode = 1
      socket.close()
  }
}

connect(undefined, 0)
