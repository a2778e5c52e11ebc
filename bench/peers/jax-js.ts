/** jax-js: one thread, whatever was asked; it has no other way in Node. */
import { type Contender, DIM, HEADS, noise, timed } from './contender.ts'

/** It writes out the scores; beyond this a run takes seconds and gigabytes. */
const MOST_TOKENS = 2048

export async function jaxJs(threads: number): Promise<Contender | undefined> {
  const jax = await import(new URL('../node_modules/@jax-js/jax/dist/index.js', import.meta.url).href).catch(
    () => undefined,
  )
  if (jax === undefined || threads > 1) return undefined
  await jax.init('wasm')
  jax.defaultDevice('wasm')
  return {
    name: 'jax-js',
    async prepare({ kind, n, causal, backward }) {
      if (kind !== 'attention' || backward || n > MOST_TOKENS) return undefined
      // its axes are [batch, length, heads, dim]
      const x = jax.numpy.array(noise(HEADS * n * DIM), { shape: [1, n, HEADS, DIM] })
      const attention = jax.jit((q: { ref: unknown }) =>
        jax.nn.dotProductAttention(q.ref, q.ref, q, { isCausal: causal }),
      )
      const run = async () => {
        const y = attention(x.ref)
        await jax.blockUntilReady(y.ref)
        y.dispose()
      }
      return { run: () => timed(run), close: async () => x.dispose() }
    },
    close: async () => {},
  }
}
