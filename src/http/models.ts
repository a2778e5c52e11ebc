/** `/v1/models`: what models there are, and requests to them. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { Compilable } from '../endpoints/endpoint.ts'
import { BERTVIZ_TYPE } from '../endpoints/models/bertviz.ts'
import { CSV_TYPE, modelMaps } from '../endpoints/models/csv.ts'
import { modelForward } from '../endpoints/models/endpoint.ts'
import { MEDIA_TYPES } from '../formats/body.ts'
import type { ModelStore } from '../models/store.ts'
import type { Intake } from '../pipeline/decode.ts'
import type { ReadyReply } from '../pipeline/encode.ts'
import { Receipt } from '../pipeline/receipt.ts'
import { serve } from '../pipeline/serve.ts'
import { MapTable } from './map-table.ts'
import { breakOff } from './plugins/errors.ts'
import { answer, RequestBody, Response, type RestOptions, stopsWith } from './rest.ts'

/** The first one where a client takes several alike. */
const FORMS = [MEDIA_TYPES.json, MEDIA_TYPES.safetensors, BERTVIZ_TYPE, CSV_TYPE]

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
        const form = request.accepts().type(FORMS)
        if (form === CSV_TYPE) {
          const maps = modelMaps(model)
          const { memory } = intake.engine.arena
          const sink = (receipt: Receipt) => new MapTable(request, reply, receipt, maps, memory)
          return await answerAs(sink, maps, request, reply, intake, deadlineSeconds)
        }
        const bertviz = form === BERTVIZ_TYPE
        const endpoint = modelForward(model, bertviz) as Compilable
        if (!bertviz) return await answer(endpoint, request, reply, intake, deadlineSeconds)
        const sink = (receipt: Receipt) => new BertvizResponse(request, reply, receipt)
        return await answerAs(sink, endpoint, request, reply, intake, deadlineSeconds)
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

/** Another form of the answer than JSON and safetensors. */
async function answerAs<R>(
  sinkOf: (receipt: Receipt) => Response,
  endpoint: Compilable<R>,
  request: FastifyRequest,
  reply: FastifyReply,
  intake: Intake,
  deadlineSeconds: number,
): Promise<Buffer | undefined> {
  const receipt = new Receipt()
  request.receipt = receipt
  const { signal, clock } = stopsWith(reply, deadlineSeconds)
  try {
    const sink = sinkOf(receipt)
    await serve(endpoint, new RequestBody(request), sink, intake, signal)
    return sink.whole
  } catch (error) {
    breakOff(error, request, reply)
  } finally {
    clearTimeout(clock)
  }
}
