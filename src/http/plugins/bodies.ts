/** Fastify parses no body, of whatever type: the pipeline reads bodies straight into shared memory. */
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'

export const bodies = fp(
  async (app: FastifyInstance) => {
    app.removeAllContentTypeParsers()
    app.addContentTypeParser('*', (_request, _payload, done) => done(null))
  },
  { name: 'bodies' },
)
