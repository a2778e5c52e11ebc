/** `/openapi.json`, `/asyncapi.json`, and an interactive page at `/docs` that needs no internet. */
import { readFileSync } from 'node:fs'
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import type { FastifyInstance } from 'fastify'
import { asyncApiDocument } from '../docs/asyncapi.ts'
import { openApiDocument } from '../docs/openapi.ts'

export const VERSION: string = JSON.parse(
  readFileSync(new URL('../../../package.json', import.meta.url), 'utf8'),
).version

export async function registerDocs(app: FastifyInstance): Promise<void> {
  const document = openApiDocument(VERSION)
  const text = JSON.stringify(document)
  app.get('/openapi.json', async (_request, reply) => reply.type('application/json').send(text))
  const stream = JSON.stringify(asyncApiDocument(VERSION))
  app.get('/asyncapi.json', async (_request, reply) => reply.type('application/json').send(stream))
  await app.register(swagger, { mode: 'static', specification: { document: document as never } })
  await app.register(swaggerUi, {
    routePrefix: '/docs',
    uiConfig: { validatorUrl: null, tryItOutEnabled: true } as never,
  })
}
