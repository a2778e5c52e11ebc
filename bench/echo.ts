/** The bare Fastify route that small requests are held against: parses the body, sends it back. */
import Fastify from 'fastify'

const app = Fastify()
app.post('/v1/attention', async request => request.body)
await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT ?? 0) })
const address = app.server.address()
console.log(`listening at http://127.0.0.1:${typeof address === 'object' ? address?.port : address}`)
