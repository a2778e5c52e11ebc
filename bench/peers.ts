/**
 * Attention forward of other libraries beside ours, in one run, on the same threads: ONNX Runtime and jax-js where they
 * are installed (`npm install --ignore-scripts --prefix bench`). Ours is timed inside a worker pool, as it is served.
 */
import { Compute } from '../src/compute/compute.ts'
import { readConfig } from '../src/config.ts'
import { compileAttention } from '../src/programs/compile-attention.ts'
import { AttentionShapes } from '../src/schemas/attention.ts'
import { bufferView } from '../workers/views.ts'
import { median, table } from './report.ts'

const RUNS = 15
const SIZES = [512, 1024, 2048]
const [HEADS, DIM] = [8, 64]

interface Contender {
  name: string
  /** milliseconds of one forward pass; undefined where it cannot */
  forward(n: number, causal: boolean): Promise<number>
  close(): Promise<void>
}

const never = new AbortController().signal

async function medianMs(run: () => Promise<unknown>, runs = RUNS): Promise<number> {
  for (let turn = 0; turn < 2; turn++) await run()
  const times: number[] = []
  for (let turn = 0; turn < runs; turn++) {
    const begin = performance.now()
    await run()
    times.push(performance.now() - begin)
  }
  return median(times)
}

function ours(threads: number): Contender {
  const compute = new Compute(readConfig({ THREADS: String(threads), MEMORY_BYTES: String(1 << 30) }))
  return {
    name: `attention-server (${compute.kernels.variant})`,
    async forward(n, causal) {
      const tensor = { shape: [1, HEADS, n, DIM] }
      const program = compileAttention(AttentionShapes.parse({ q: tensor, k: tensor, v: tensor, causal }))
      const lease = compute.admit(program)
      for (const place of lease.placement.buffers.slice(0, 3)) {
        const view = bufferView(compute.arena.memory, place)
        for (let i = 0; i < view.length; i++) view[i] = Math.sin(i * 1.7)
      }
      const ms = await medianMs(() => compute.run(lease, never))
      lease.release()
      return ms
    },
    close: () => compute.close(),
  }
}

/** One Attention-23 node (or com.microsoft's fused one is chosen by the runtime), built as a model in memory. */
async function onnx(threads: number): Promise<Contender | undefined> {
  const name = 'onnxruntime-node'
  const runtime = await import(new URL(`./node_modules/${name}/dist/index.js`, import.meta.url).href).catch(
    () => undefined,
  )
  if (runtime === undefined) return undefined
  const { InferenceSession, Tensor } = runtime.default ?? runtime
  const { attentionModel } = await import('./onnx-model.ts')
  return {
    name: 'ONNX Runtime',
    async forward(n, causal) {
      const model = attentionModel(HEADS, n, DIM, causal)
      const session = await InferenceSession.create(model, {
        intraOpNumThreads: threads,
        interOpNumThreads: 1,
        logSeverityLevel: 3,
      })
      const data = Float32Array.from({ length: HEADS * n * DIM }, (_, i) => Math.sin(i * 1.7))
      const tensor = new Tensor('float32', data, [1, HEADS, n, DIM])
      const ms = await medianMs(() => session.run({ q: tensor, k: tensor, v: tensor }))
      await session.release()
      return ms
    },
    close: async () => {},
  }
}

/** One thread, whatever was asked: it has no other way in Node. */
async function jaxJs(threads: number): Promise<Contender | undefined> {
  const jax = await import(new URL('./node_modules/@jax-js/jax/dist/index.js', import.meta.url).href).catch(
    () => undefined,
  )
  if (jax === undefined || threads > 1) return undefined
  await jax.init('wasm')
  jax.defaultDevice('wasm')
  return {
    name: 'jax-js',
    async forward(n, causal) {
      const data = Float32Array.from({ length: HEADS * n * DIM }, (_, i) => Math.sin(i * 1.7))
      // its axes are [batch, length, heads, dim]
      const x = jax.numpy.array(data, { shape: [1, n, HEADS, DIM] })
      const attention = jax.jit((q: { ref: unknown }) =>
        jax.nn.dotProductAttention(q.ref, q.ref, q, { isCausal: causal }),
      )
      const run = async () => {
        const y = attention(x.ref)
        await jax.blockUntilReady(y.ref)
        y.dispose()
      }
      return medianMs(run, 3)
    },
    close: async () => {},
  }
}

export async function benchPeers(): Promise<void> {
  const rows: string[][] = []
  for (const threads of [1, 2]) {
    const contenders = [ours(threads), await onnx(threads), await jaxJs(threads)].filter(
      contender => contender !== undefined,
    )
    for (const n of SIZES) {
      for (const causal of [false, true]) {
        const times: number[] = []
        for (const contender of contenders) times.push(await contender.forward(n, causal))
        const shape = `[1,${HEADS},${n},${DIM}]${causal ? ' causal' : ''}`
        for (const [index, { name }] of contenders.entries()) {
          const ratio = index === 0 ? '1.00' : (times[index] / times[0]).toFixed(2)
          rows.push([shape, String(threads), name, times[index].toFixed(2), ratio])
        }
      }
    }
    for (const contender of contenders) await contender.close()
  }
  console.log(table(['forward', 'threads', 'library', 'ms', 'times ours'], rows))
}
