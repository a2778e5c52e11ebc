/** What operations of the OpenAPI document have in common. */

import type { Endpoint } from '../../endpoints/endpoint.ts'
import { PROBLEMS } from '../../problem.ts'
import { type Json, ref } from './components.ts'
import type { Example } from './examples.ts'

export const JSON_TYPE = 'application/json'
export const SAFETENSORS_TYPE = 'application/x-safetensors'

export function computeOperation(
  { name, summary, reports = {} }: Pick<Endpoint, 'name' | 'summary' | 'reports'>,
  request: Json,
  answer: Json,
  examples: Example[],
): Json {
  const binary = {
    schema: { type: 'string', contentMediaType: SAFETENSORS_TYPE, description: 'a safetensors file' },
  }
  return {
    operationId: name,
    summary,
    tags: ['compute'],
    parameters: [
      {
        name: 'Want-Repr-Digest',
        in: 'header',
        description: '`sha-256=1` asks for the answer’s digest (RFC 9530)',
        schema: { type: 'string' },
      },
    ],
    requestBody: {
      required: true,
      content: {
        [JSON_TYPE]: { schema: request, examples: examplesOf(examples, ({ request: value }) => value) },
        [SAFETENSORS_TYPE]: binary,
      },
    },
    responses: {
      200: {
        description: 'The answer, in the form that Accept asks for',
        headers: {
          'Repr-Digest': {
            description: 'with `Want-Repr-Digest`: `sha-256=:…:`, the digest of the answer’s bytes',
            schema: { type: 'string' },
          },
        },
        content: {
          [JSON_TYPE]: { schema: answer, examples: examplesOf(examples, ({ response }) => response) },
          [SAFETENSORS_TYPE]: binary,
          ...Object.fromEntries(
            Object.entries(reports).map(([type, description]) => [
              type,
              { schema: { type: 'string', description } },
            ]),
          ),
        },
      },
      ...problems('400', '401', '403', '408', '413', '415', '429', '500', '503', '504'),
    },
  }
}

export function problems(...statuses: string[]): Json {
  const entries = statuses.map(status => {
    const titles = Object.values(PROBLEMS).flatMap(({ status: of, title }) =>
      String(of) === status ? [title] : [],
    )
    const content = { 'application/problem+json': { schema: ref('Problem') } }
    return [status, { description: titles.join('; '), content }]
  })
  return Object.fromEntries(entries)
}

export function examplesOf(examples: Example[], value: (example: Example) => unknown): Json {
  return Object.fromEntries(examples.map(each => [each.name, { summary: each.summary, value: value(each) }]))
}
