/**
 * `/openapi.json`, the same in OpenAPI 3.0, `/asyncapi.json`, and an interactive page at `/docs` that needs no internet. What is served
 * is committed: `npm run openapi` has written it with the other modules of this folder, which a start would load and run for 200 ms.
 */
import { readFileSync } from 'node:fs'
import helmet from '@fastify/helmet'
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { openToAll } from '../auth/index.ts'
import { helmetOptions } from '../security-headers.ts'

const FOLDER = new URL('../../../openapi/', import.meta.url)
const NAMES = ['openapi.json', 'openapi-3.0.json', 'asyncapi.json'] as const

/** Swagger UI has images in its style sheet, and one style in what it makes, of this hash (`test/browser/docs.test.ts`). */
const HEADERS = helmetOptions({
  'style-src': "'self' 'sha256-RL3ie0nH+Lzz2YNqQN83mnU0J1ot4QL7b99vMdIX99w='",
  'img-src': "'self' data:",
})

function committed(name: (typeof NAMES)[number]): object {
  return JSON.parse(readFileSync(new URL(name, FOLDER), 'utf8'))
}

export const docs = fp(
  async (app: FastifyInstance) => {
    openToAll(app)
    await app.register(helmet, HEADERS)
    for (const name of NAMES) {
      let text: string | undefined
      app.get(`/${name}`, async (_request, reply) => {
        text ??= JSON.stringify(committed(name))
        return reply.type('application/json').send(text)
      })
    }
    // below a proxy's prefix only relative addresses hold; this one is relative to /docs/json
    const relative = { ...committed('openapi.json'), servers: [{ url: '..', description: 'this server' }] }
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
