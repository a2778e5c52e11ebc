/** Compiled, not run: what a user's compiler sees of the package. */
import { type Server, type ServerOptions, startServer } from 'attention-server'
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
