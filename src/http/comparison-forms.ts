/** The forms that a comparison's answer has beside those of any other: a page to look at, a table to paste. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { CompareReport } from '../endpoints/compare/answer.ts'
import { reportAsHtml, STYLE_SOURCE } from '../endpoints/compare/report-html.ts'
import { reportAsText } from '../endpoints/compare/report-text.ts'
import { MEDIA_TYPES } from '../formats/body.ts'
import type { Fields } from '../pipeline/encode.ts'
import { digestOf, wantsDigest } from './repr-digest.ts'
import { pageHeaders } from './security-headers.ts'

export type Form = 'text/html' | 'text/plain'

/** undefined where the client wants data. */
export function formOf(request: FastifyRequest): Form | undefined {
  const { accept } = request.headers
  if (!accept?.includes('text/')) return undefined
  const data = Object.values(MEDIA_TYPES)
  const type = request.accepts().type([...data, 'text/html', 'text/plain'])
  return type === 'text/html' || type === 'text/plain' ? type : undefined
}

export async function written(
  form: Form,
  fields: Fields,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<Buffer> {
  const report = fields as unknown as CompareReport
  const whole = Buffer.from(form === 'text/html' ? reportAsHtml(report) : reportAsText(report))
  reply.type(`${form}; charset=utf-8`)
  reply.headers(pageHeaders(form === 'text/html' ? { 'style-src': STYLE_SOURCE } : {}))
  if (wantsDigest(request.headers['want-repr-digest'])) {
    reply.header('repr-digest', await digestOf([whole]))
  }
  return whole
}
