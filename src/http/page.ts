/** The page at `/`, as `npm run build` left it in web/dist: hashed files for ever, the index never from a cache. */
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import helmet from '@fastify/helmet'
import fastifyStatic from '@fastify/static'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { Problem } from '../problem.ts'
import { openToAll } from './auth/index.ts'
import { helmetOptions } from './security-headers.ts'

const DIST = new URL('../../web/dist/', import.meta.url)

export const page = fp(
  async (app: FastifyInstance) => {
    openToAll(app)
    await app.register(helmet, helmetOptions())
    const index = new URL('index.html', DIST)
    if (!existsSync(index)) {
      app.get('/', async () => {
        throw new Problem('NOT_FOUND', 'the page has not been built; `npm run build` builds it')
      })
      return
    }
    const html = readFileSync(index)
    app.get('/', async (_request, reply) =>
      reply.type('text/html; charset=utf-8').header('cache-control', 'no-cache').send(html),
    )
    await app.register(fastifyStatic, {
      root: fileURLToPath(new URL('assets/', DIST)),
      prefix: '/assets/',
      index: false,
      // a route a file: there is nothing else to ask for
      wildcard: false,
      decorateReply: false,
      immutable: true,
      maxAge: '365d',
    })
  },
  { name: 'page', encapsulate: true, dependencies: ['errors'] },
)
