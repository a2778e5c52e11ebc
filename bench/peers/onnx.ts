/** ONNX Runtime: one Attention-23 node, built as a model in memory (the runtime chooses its own fused kernel). */
import { type Contender, DIM, HEADS, noise, timed } from './contender.ts'
import { attentionModel } from './onnx-model.ts'

export async function onnx(threads: number): Promise<Contender | undefined> {
  const folder = new URL('../node_modules/onnxruntime-node/', import.meta.url)
  const runtime = await import(new URL('dist/index.js', folder).href).catch(() => undefined)
  if (runtime === undefined) return undefined
  const { InferenceSession, Tensor, env } = runtime.default ?? runtime
  return {
    name: `ONNX Runtime ${env?.versions?.common ?? ''}`.trim(),
    async prepare({ kind, n, causal, backward }) {
      if (kind !== 'attention' || backward) return undefined
      const session = await InferenceSession.create(attentionModel(HEADS, n, DIM, causal), {
        intraOpNumThreads: threads,
        interOpNumThreads: 1,
        logSeverityLevel: 3,
      })
      const tensor = new Tensor('float32', noise(HEADS * n * DIM), [1, HEADS, n, DIM])
      return {
        run: () => timed(() => session.run({ q: tensor, k: tensor, v: tensor })),
        close: () => session.release(),
      }
    },
    close: async () => {},
  }
}
