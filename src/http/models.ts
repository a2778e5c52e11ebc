/** `/v1/models`: what models there are, and requests to them. */
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Compilable } from '../endpoints/endpoint.ts'
import { modelForward } from '../endpoints/models/endpoint.ts'
import type { ModelStore } from '../models/store.ts'
import { answer, type RestOptions } from './rest.ts'

export interface ModelOptions extends RestOptions {
  store: ModelStore
}

export const models = fp(
  async (app: FastifyInstance, { store, intake, deadlineSeconds }: ModelOptions) => {
    app.get('/v1/models', async () => ({ models: await store.list() }))
    app.get<{ Params: { name: string } }>('/v1/models/:name', request => store.describe(request.params.name))
    app.post<{ Params: { name: string } }>('/v1/models/:name/forward', async (request, reply) => {
      const model = await store.use(request.params.name)
      try {
        return await answer(modelForward(model) as Compilable, request, reply, intake, deadlineSeconds)
      } finally {
        store.release(model)
      }
    })
  },
  {
    name: 'models',
    encapsulate: true,
    dependencies: ['@fastify/accepts', 'bodies', 'errors', 'observe', 'drain'],
  },
)
