/** `/v1/jobs`: computations that nobody waits for at a connection. */
import { Readable } from 'node:stream'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { MEDIA_TYPES } from '../formats/body.ts'
import { jobAnswer } from '../jobs/answers.ts'
import type { Jobs } from '../jobs/jobs.ts'
import { readWhole } from '../jobs/store.ts'
import { readAnswer, storedAnswer } from '../jobs/stored-result.ts'
import { decode, type Intake } from '../pipeline/decode.ts'
import { Receipt } from '../pipeline/receipt.ts'
import type { ReplyStyle } from '../pipeline/reply.ts'
import { serve } from '../pipeline/serve.ts'
import { fieldProblem, Problem } from '../problem.ts'
import { jobEvents } from './job-events.ts'
import { watchJobs } from './job-metrics.ts'
import { outerPath } from './outer-path.ts'
import { breakOff } from './plugins/errors.ts'
import { wantsDigest } from './repr-digest.ts'
import { answerFormat, clientOf, RequestBody, Response, stopsWith } from './rest.ts'

export interface JobRoutes {
  intake: Intake
  jobs: Jobs
  deadlineSeconds: number
}

const JOBS = '/v1/jobs'
const MOST_KEY = 255
const ENCODINGS: readonly string[] = ['nested', 'flat', 'base64'] satisfies ReplyStyle['encoding'][]

type OfJob = FastifyRequest<{ Params: { id: string }; Querystring: { encoding?: string } }>

export const jobRoutes = fp(
  async (app: FastifyInstance, { intake, jobs, deadlineSeconds }: JobRoutes) => {
    const listening = new Set<AbortController>()
    app.drain.onBegin(() => {
      for (const each of listening) each.abort()
    })
    watchJobs(app.metrics.registry, jobs)

    app.post(JOBS, async (request, reply) => {
      const { signal, clock } = stopsWith(reply, deadlineSeconds)
      try {
        // nobody could ask for its result
        if (app.drain.leaving && !jobs.shared) {
          throw new Problem('DRAINING', 'this server is shutting down, and its jobs go with it', {
            retryAfter: 1,
          })
        }
        using body = await decode(new RequestBody(request), intake)
        const sender = { owner: clientOf(request), idempotencyKey: idempotencyKey(request) }
        const job = await jobs.submit(body, sender, signal)
        const all = outerPath(request, JOBS)
        reply.code(202).header('location', `${all}/${job.order.id}`)
        return jobAnswer(job, all)
      } finally {
        clearTimeout(clock)
      }
    })

    app.get(`${JOBS}/:id`, async (request: OfJob, reply) => {
      reply.header('cache-control', 'no-store')
      return jobAnswer(await jobs.get(request.params.id, ownerOf(request)), outerPath(request, JOBS))
    })

    app.delete(`${JOBS}/:id`, async (request: OfJob) =>
      jobAnswer(await jobs.cancel(request.params.id, ownerOf(request)), outerPath(request, JOBS)),
    )

    app.get(`${JOBS}/:id/events`, async (request: OfJob, reply) => {
      const job = await jobs.get(request.params.id, ownerOf(request))
      return await jobEvents(listening, jobs, job, outerPath(request, JOBS), request, reply)
    })

    app.get(`${JOBS}/:id/result`, (request: OfJob, reply) =>
      answerResult(request, reply, { intake, jobs, deadlineSeconds }),
    )
  },
  { name: 'jobs', encapsulate: true, dependencies: ['rest', 'errors', 'observe', 'drain'] },
)

/** Whose jobs they are, where clients have keys; undefined where everybody sees all. */
function ownerOf(request: FastifyRequest): string | undefined {
  return request.identity?.id
}

function idempotencyKey({ headers }: FastifyRequest): string | undefined {
  const key = headers['idempotency-key']
  if (key === undefined) return undefined
  if (typeof key === 'string' && key.length > 0 && key.length <= MOST_KEY) return key
  throw new Problem('BAD_HTTP', `expected an Idempotency-Key of 1 to ${MOST_KEY} characters`)
}

async function answerResult(
  request: OfJob,
  reply: FastifyReply,
  { intake, jobs, deadlineSeconds }: JobRoutes,
): Promise<Buffer | FastifyReply | undefined> {
  const { encoding } = request.query
  if (encoding !== undefined && !ENCODINGS.includes(encoding)) {
    throw fieldProblem('INVALID_REQUEST', '/encoding', `expected one of ${ENCODINGS.join(', ')}`)
  }
  const { order, stored } = await jobs.result(request.params.id, ownerOf(request))
  reply.header('vary', 'accept')
  if (answerFormat(request) === 'safetensors') {
    const digest = Buffer.from(stored.digest, 'hex').toString('base64')
    if (wantsDigest(request.headers['want-repr-digest'])) {
      reply.header('repr-digest', `sha-256=:${digest}:`)
    }
    reply.type(MEDIA_TYPES.safetensors).header('content-length', stored.bytes)
    return reply.send(Readable.from(readWhole(jobs.store, stored), { objectMode: false }))
  }
  const style = { ...order.style, ...(encoding && { encoding: encoding as ReplyStyle['encoding'] }) }
  const receipt = new Receipt()
  request.receipt = receipt
  const { signal, clock } = stopsWith(reply, deadlineSeconds)
  try {
    const sink = new ResultResponse(request, reply, receipt, style)
    await serve(storedAnswer, await readAnswer(jobs.store, stored, style, intake), sink, intake, signal)
    return sink.whole
  } catch (error) {
    breakOff(withHint(error), request, reply)
  } finally {
    clearTimeout(clock)
  }
}

/** A file leaves as it is, of whatever size. */
function withHint(error: unknown): unknown {
  if (!(error instanceof Problem) || error.code !== 'MEMORY_TOO_LARGE') return error
  return new Problem(error.code, `${error.message}; with Accept: ${MEDIA_TYPES.safetensors} it needs none`)
}

class ResultResponse extends Response {
  readonly #style: Pick<ReplyStyle, 'encoding' | 'dtype'>

  constructor(
    request: FastifyRequest,
    reply: FastifyReply,
    receipt: Receipt,
    style: Pick<ReplyStyle, 'encoding' | 'dtype'>,
  ) {
    super(request, reply, receipt)
    this.#style = style
  }

  override style(): ReplyStyle {
    return { ...this.#style, format: 'json', fields: 'response' }
  }
}
