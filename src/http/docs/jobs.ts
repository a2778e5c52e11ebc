/** The paths of `/v1/jobs` in the OpenAPI document. */
import type { Json } from './components.ts'
import { JSON_TYPE, problems, SAFETENSORS_TYPE } from './operations.ts'

interface JobSchemas {
  request: Json
  job: Json
}

const FILE = { type: 'string', contentMediaType: SAFETENSORS_TYPE, description: 'a safetensors file' }
const TEXT = { type: 'string' }
const WHERE = 'where it is: `/v1/jobs/{id}`, below the prefix of a proxy that sends one'
/** What any request about a job may be told: a path that cannot be read, keys and their budgets, no such job, no queue. */
const ANY = ['400', '401', '403', '404', '429', '503']

const EXAMPLES = {
  attention: {
    summary: 'an attention that nobody waits for',
    value: {
      endpoint: '/v1/attention',
      body: { q: [[1, 0]], k: [[1, 0]], v: [[1, 0]], return: ['output', 'weights'] },
    },
  },
}

export function jobPaths({ request, job }: JobSchemas): Json {
  const id = { name: 'id', in: 'path', required: true, description: 'of a job', schema: TEXT }
  const answer = (description: string) => ({ description, content: { [JSON_TYPE]: { schema: job } } })
  const operation = (operationId: string, summary: string, more: Json) => ({
    operationId,
    summary,
    tags: ['jobs'],
    ...more,
  })
  return {
    '/v1/jobs': {
      post: operation('submitJob', 'Takes a request to any compute endpoint as a job', {
        parameters: [
          {
            name: 'Idempotency-Key',
            in: 'header',
            description:
              'the same key and body: the same job; another body under it is a 409 with both digests',
            schema: { ...TEXT, minLength: 1, maxLength: 255 },
          },
        ],
        requestBody: {
          required: true,
          content: {
            [JSON_TYPE]: { schema: request, examples: EXAMPLES },
            [SAFETENSORS_TYPE]: {
              schema: {
                ...FILE,
                description:
                  'a safetensors file: tensors `body.q`, …, everything else in `__metadata__.request`',
              },
            },
          },
        },
        responses: {
          202: {
            ...answer('The job as it stands'),
            headers: { Location: { description: WHERE, schema: TEXT } },
          },
          ...problems(...ANY, '408', '409', '413', '415'),
        },
      }),
    },
    '/v1/jobs/{id}': {
      get: operation('job', 'A job as it stands', {
        parameters: [id],
        responses: { 200: answer('The job as it stands'), ...problems(...ANY) },
      }),
      delete: operation('cancelJob', 'Cancels a job that has not ended', {
        parameters: [id],
        responses: {
          200: answer('The job as it stands then: cancelled, or as it had ended'),
          ...problems(...ANY),
        },
      }),
    },
    '/v1/jobs/{id}/events': {
      get: operation('jobEvents', 'Server-sent events: the job whenever it has changed, until it has ended', {
        parameters: [
          id,
          {
            name: 'Last-Event-ID',
            in: 'header',
            description:
              'the id of the last event that came, as browsers send it; behind that of the end there is none',
            schema: TEXT,
          },
        ],
        responses: {
          200: {
            description: 'events whose data is the job as `GET /v1/jobs/{id}` gives it',
            content: { 'text/event-stream': { schema: {} } },
          },
          204: { description: 'The last event came before: a browser asks no more' },
          ...problems(...ANY),
        },
      }),
    },
    '/v1/jobs/{id}/result': {
      get: operation('jobResult', 'The result of a job that is done, as its endpoint would have answered', {
        parameters: [
          id,
          {
            name: 'encoding',
            in: 'query',
            description: 'how tensors are written in JSON; default: what the body said',
            schema: { ...TEXT, enum: ['nested', 'flat', 'base64'] },
          },
        ],
        responses: {
          200: {
            description: 'The answer, in the form that Accept asks for',
            content: { [JSON_TYPE]: { schema: { type: 'object' } }, [SAFETENSORS_TYPE]: { schema: FILE } },
          },
          ...problems(...ANY, '409', '410', '413', '500', '504'),
        },
      }),
    },
  }
}
