/** `/openapi.json`, the same in OpenAPI 3.0, `/asyncapi.json`, and an interactive page at `/docs` that needs no internet. */
import helmet from '@fastify/helmet'
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { openToAll } from '../auth/index.ts'
import { helmetOptions } from '../security-headers.ts'
import { asyncApiDocument } from './asyncapi.ts'
import { openApiDocument } from './openapi.ts'
import { openApi30 } from './openapi30.ts'

/** Swagger UI has images in its style sheet, and one style in what it makes, of this hash (`test/browser/docs.test.ts`). */
const HEADERS = helmetOptions({
  'style-src': "'self' 'sha256-RL3ie0nH+Lzz2YNqQN83mnU0J1ot4QL7b99vMdIX99w='",
  'img-src': "'self' data:",
})

export const docs = fp(
  async (app: FastifyInstance, { version }: { version: string }) => {
    openToAll(app)
    await app.register(helmet, HEADERS)
    const document = openApiDocument(version)
    const text = JSON.stringify(document)
    app.get('/openapi.json', async (_request, reply) => reply.type('application/json').send(text))
    const older = JSON.stringify(openApi30(document))
    app.get('/openapi-3.0.json', async (_request, reply) => reply.type('application/json').send(older))
    const stream = JSON.stringify(asyncApiDocument(version))
    app.get('/asyncapi.json', async (_request, reply) => reply.type('application/json').send(stream))
    // below a proxy's prefix only relative addresses hold; this one is relative to /docs/json
    const relative = { ...document, servers: [{ url: '..', description: 'this server' }] }
    await app.register(swagger, { mode: 'static', specification: { document: relative as never } })
    await app.register(swaggerUi, {
      routePrefix: '/docs',
      uiConfig: { validatorUrl: null, tryItOutEnabled: true } as never,
      uiHooks: {
        async onRequest(request, reply) {
          if (request.url === '/docs') return reply.code(302).header('location', 'docs/').send()
        },
      },
    })
  },
  { name: 'docs', encapsulate: true },
)
