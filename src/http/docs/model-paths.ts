/** `/v1/models` in the OpenAPI document. */
import type * as z from 'zod'
import { ModelAnswer, ModelForwardAnswer, ModelsAnswer } from '../../endpoints/models/answer.ts'
import { ForwardRequestSchema } from '../../endpoints/models/forward.ts'
import type { Json } from './components.ts'
import { computeOperation, JSON_TYPE, problems } from './operations.ts'

const NAME = {
  name: 'name',
  in: 'path',
  required: true,
  description: 'of a folder in MODELS_DIR, or of a model that comes with the service: `lesson`',
  schema: { type: 'string' },
}

type Add = (schema: z.ZodType) => Json

export function modelPaths(ask: Add, add: Add): Record<string, Json> {
  const get = (operationId: string, summary: string, schema: Json, more: Json) => ({
    operationId,
    summary,
    tags: ['models'],
    responses: { 200: { description: summary, content: { [JSON_TYPE]: { schema } } }, ...more },
  })
  const summary =
    'A model over text or token ids: maps, hidden states, logits, a vector of the text, gradients'
  const forward = computeOperation(
    {
      name: 'modelForward',
      summary,
      reports: {
        'text/csv':
          'the maps that `return` and `emit` name, by default weights, a line a row and key that are no padding',
      },
    },
    ask(ForwardRequestSchema),
    add(ModelForwardAnswer),
    [],
  )
  return {
    '/v1/models': { get: get('models', 'The models that there are', add(ModelsAnswer), {}) },
    '/v1/models/{name}': {
      parameters: [NAME],
      get: get('model', 'One model', add(ModelAnswer), problems('400', '404')),
    },
    '/v1/models/{name}/forward': {
      parameters: [NAME],
      post: {
        ...forward,
        tags: ['models'],
        responses: { ...(forward.responses as Json), ...problems('404') },
      },
    },
  }
}
