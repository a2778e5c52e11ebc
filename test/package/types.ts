/** Compiled, not run: what a user's compiler sees of the package. */
import { type Server, type ServerOptions, startServer } from 'attention-server'
import { Client, type Tensor, tensor } from 'attention-server/client'
import { attention } from 'attention-server/fastify'
import Fastify from 'fastify'

const options: ServerOptions = { port: 0, host: '127.0.0.1', threads: 2, kernels: 'simd128' }
const server: Server = await startServer(options)
const url: string = server.url
await server.close()

// @ts-expect-error: no such setting
await startServer({ prot: 0 })

const app = Fastify()
await app.register(attention, { prefix: '/attention', maxBodyBytes: 1 << 20, page: true })
await app.listen()
console.log(url)

const client = new Client(url, { retries: 2 })
const x = tensor([[1, 0]])
const { output, grads } = await client.attention({
  q: x,
  k: [[1, 0]],
  v: x,
  causal: true,
  backward: { target: x },
})
const found: (Tensor | undefined)[] = [output, grads?.q]
for await (const frame of client.stream({ stack: { layers: 1, heads: 1, init: { seed: 1 } }, x })) {
  if (frame.type === 'layer') console.log(frame.index, frame.tensors.weights?.shape, found)
}

// @ts-expect-error: no such field
await client.attention({ q: x, k: x, v: x, casual: true })
