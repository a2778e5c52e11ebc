/** Ours as it is served, in its worker pool: a request's program, run again and again, without HTTP around it. */

import { readConfig } from '../../src/config.ts'
import { ENDPOINTS } from '../../src/endpoints/index.ts'
import { Engine } from '../../src/engine/engine.ts'
import { RequestProgram } from '../../src/layers/program-builder.ts'
import { ArrivingBytes, decode, type Source } from '../../src/pipeline/decode.ts'
import { parse } from '../../src/pipeline/serve.ts'
import { type FileTensor, float32, writeFile } from '../../test/service/safetensors-file.ts'
import { type Case, type Contender, D_FF, D_MODEL, DIM, HEADS, LAYERS, noise, timed } from './contender.ts'

type Tensors = Record<string, FileTensor>

const never = new AbortController().signal

export async function ours(threads: number): Promise<Contender> {
  const engine = await Engine.start(readConfig({ THREADS: String(threads), MEMORY_BYTES: String(2 ** 31) }))
  const arriving = new ArrivingBytes(engine)
  const intake = { engine, arriving, mostBytes: 2 ** 31, bodySeconds: 60 }
  return {
    name: `attention-server (${engine.kernels.variant})`,
    async prepare(of) {
      const { path, body } = requestOf(of)
      const source: Source = {
        format: 'safetensors',
        declaredBytes: body.length,
        read: async take => take(body),
      }
      const decoded = await decode(source, intake)
      const endpoint = ENDPOINTS.find(each => each.path === path)
      if (endpoint === undefined) throw new Error(`no endpoint ${path}`)
      const program = new RequestProgram('float32', 'reject')
      for (const _ of endpoint.compile(program, parse(endpoint.request, decoded.tree)) ?? []);
      program.finish()
      // the tensors stand in the body and are used there: what is left of decoding is checking them, which no peer does
      for (const [index, stage] of program.stages.entries())
        program.stages[index] = stage.filter(step => step.phase !== 'decode')
      const lease = engine.admit(program)
      return {
        run: () => timed(() => engine.run(lease, never)),
        async close() {
          lease[Symbol.dispose]()
          decoded[Symbol.dispose]()
        },
      }
    },
    close: () => engine.close(),
  }
}

function requestOf(of: Case): { path: string; body: Buffer } {
  const file = (path: string, tensors: Tensors, request: object, output: number[]) => {
    const backward: Tensors = of.backward ? { 'backward.grad_output': tensor(output) } : {}
    const wanted = of.backward && of.kind !== 'attention' ? { backward: { wrt: ['x', 'params'] } } : {}
    const metadata = { request: JSON.stringify({ ...request, ...wanted }) }
    return { path, body: writeFile({ ...tensors, ...backward }, metadata) }
  }
  if (of.kind === 'attention') {
    const shape = [1, HEADS, of.n, DIM]
    const tensors = { q: tensor(shape), k: tensor(shape), v: tensor(shape) }
    return file('/v1/attention', tensors, { causal: of.causal }, shape)
  }
  const x = { x: tensor([1, of.n, D_MODEL]) }
  if (of.kind === 'multi-head') {
    const tensors = { ...x, ...named('params.', attentionParams()) }
    return file('/v1/multi-head-attention', tensors, { heads: HEADS }, [1, of.n, D_MODEL])
  }
  const layers = Array.from({ length: LAYERS }, (_, i) => named(`stack.params.layers.${i}.`, layerParams()))
  const stack = { layers: LAYERS, d_model: D_MODEL, heads: HEADS, d_ff: D_FF, norm: of.norm }
  return file('/v1/transformer', { ...x, ...Object.assign({}, ...layers) }, { stack }, [1, of.n, D_MODEL])
}

function attentionParams(): Tensors {
  const weights = ['w_q', 'w_k', 'w_v', 'w_o'].map(name => [name, weight(D_MODEL, D_MODEL)])
  const biases = ['b_q', 'b_k', 'b_v', 'b_o'].map(name => [name, tensor([D_MODEL])])
  return Object.fromEntries([...weights, ...biases])
}

function layerParams(): Tensors {
  const norm = () => ({ gamma: tensor([D_MODEL]), beta: tensor([D_MODEL]) })
  return {
    ...named('attention.', attentionParams()),
    ...named('norm1.', norm()),
    ...named('norm2.', norm()),
    'ffn.w_1': weight(D_MODEL, D_FF),
    'ffn.b_1': tensor([D_FF]),
    'ffn.w_2': weight(D_FF, D_MODEL),
    'ffn.b_2': tensor([D_MODEL]),
  }
}

function named(prefix: string, tensors: Tensors): Tensors {
  return Object.fromEntries(Object.entries(tensors).map(([name, value]) => [prefix + name, value]))
}

function tensor(shape: number[]): FileTensor {
  return float32(noise(shape.reduce((product, extent) => product * extent, 1)), shape)
}

/** Small enough that activations stay of the size of x. */
function weight(rows: number, columns: number): FileTensor {
  return float32(
    noise(rows * columns).map(x => x / Math.sqrt(rows)),
    [rows, columns],
  )
}
