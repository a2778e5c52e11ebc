/** `/v1/models`: what models there are, and requests to them. */
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Compilable } from '../endpoints/endpoint.ts'
import { BERTVIZ_TYPE } from '../endpoints/models/bertviz.ts'
import { modelForward } from '../endpoints/models/endpoint.ts'
import type { ModelStore } from '../models/store.ts'
import type { ReadyReply } from '../pipeline/encode.ts'
import { Receipt } from '../pipeline/receipt.ts'
import { serve } from '../pipeline/serve.ts'
import { breakOff } from './plugins/errors.ts'
import { answer, RequestBody, Response, type RestOptions, stopsWith } from './rest.ts'

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
        const bertviz = request.headers.accept?.includes(BERTVIZ_TYPE) ?? false
        const endpoint = modelForward(model, bertviz) as Compilable
        const respond = bertviz ? answerBertviz : answer
        return await respond(endpoint, request, reply, intake, deadlineSeconds)
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

class BertvizResponse extends Response {
  override end(ready: ReadyReply): Promise<void> | undefined {
    return super.end(ready, ready.scalars(), BERTVIZ_TYPE)
  }
}

async function answerBertviz(
  ...[endpoint, request, reply, intake, deadlineSeconds]: Parameters<typeof answer>
) {
  const receipt = new Receipt()
  request.receipt = receipt
  const { signal, clock } = stopsWith(reply, deadlineSeconds)
  try {
    const sink = new BertvizResponse(request, reply, receipt)
    await serve(endpoint, new RequestBody(request), sink, intake, signal)
    return sink.whole
  } catch (error) {
    breakOff(error, request, reply)
  } finally {
    clearTimeout(clock)
  }
}
