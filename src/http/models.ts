/** `/v1/models`: what models there are, and requests to them. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { Compilable } from '../endpoints/endpoint.ts'
import { BERTVIZ_TYPE } from '../endpoints/models/bertviz.ts'
import { CSV_TYPE, modelMaps } from '../endpoints/models/csv.ts'
import { modelForward } from '../endpoints/models/endpoint.ts'
import { holdModel } from '../endpoints/models/held.ts'
import { MEDIA_TYPES } from '../formats/body.ts'
import type { LoadedModel } from '../models/loaded.ts'
import type { ModelStore } from '../models/store.ts'
import type { Intake } from '../pipeline/decode.ts'
import type { ReadyReply } from '../pipeline/encode.ts'
import { Receipt, Stages } from '../pipeline/receipt.ts'
import { serve } from '../pipeline/serve.ts'
import { MapTable } from './map-table.ts'
import { breakOff } from './plugins/errors.ts'
import { RequestBody, Response, type RestOptions, stopsWith } from './rest.ts'

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
      const { signal, clock } = stopsWith(reply, deadlineSeconds)
      try {
        using held = await holdModel(store, request.params.name, signal)
        const { endpoint, sink } = formOf(held.model, request, reply, intake)
        await serve(endpoint, new RequestBody(request), sink, intake, signal)
        return sink.whole
      } catch (error) {
        breakOff(error, request, reply)
      } finally {
        clearTimeout(clock)
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

/** What is computed, and how it is answered: as JSON and safetensors, or in another form. */
function formOf(
  model: LoadedModel,
  request: FastifyRequest,
  reply: FastifyReply,
  { engine }: Intake,
): { endpoint: Compilable; sink: Response } {
  const receipt = new Receipt()
  receipt.stages = request.follow && new Stages(request.follow)
  request.receipt = receipt
  const form = request.accepts().type(FORMS)
  if (form === CSV_TYPE) {
    const maps = modelMaps(model)
    const sink = new MapTable(request, reply, receipt, maps, engine.arena.memory)
    return { endpoint: maps as Compilable, sink }
  }
  const bertviz = form === BERTVIZ_TYPE
  const endpoint = modelForward(model, bertviz) as Compilable
  return { endpoint, sink: new (bertviz ? BertvizResponse : Response)(request, reply, receipt) }
}
