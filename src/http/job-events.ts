/** `GET /v1/jobs/{id}/events`: server-sent events, each the job as it stands, until it has ended. */
import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { jobAnswer } from '../jobs/answers.ts'
import { ENDED, type Job } from '../jobs/job.ts'
import type { Jobs } from '../jobs/jobs.ts'

/** Proxies end connections on which nothing comes. */
const ALIVE_MS = 15_000
/** The id of the last event: a browser that connects again behind it is told that nothing comes. */
const LAST = 'end'
/** Time in which a browser connects again where the connection was lost. */
const RETRY_MS = 1000

/** `listening`: what ends all of them; `path`: of all jobs, as the client reaches them. */
export async function jobEvents(
  listening: Set<AbortController>,
  jobs: Jobs,
  first: Job,
  path: string,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  if (request.headers['last-event-id'] === LAST) return reply.code(204).send()
  reply.type('text/event-stream').header('cache-control', 'no-store').header('x-accel-buffering', 'no')
  const gone = new AbortController()
  listening.add(gone)
  reply.raw.once('close', () => {
    listening.delete(gone)
    gone.abort()
  })
  return reply.send(Readable.from(events(jobs, first, path, gone.signal), { objectMode: false }))
}

async function* events(jobs: Jobs, first: Job, path: string, gone: AbortSignal): AsyncGenerator<string> {
  const changes = new Changes(gone)
  const { id } = first.order
  const unwatch = jobs.watch(id, () => changes.tell())
  try {
    yield `retry: ${RETRY_MS}\n\n`
    let sent = ''
    // what changed before it was watched
    for (let job = await jobs.get(id, undefined); ; job = await jobs.get(id, undefined)) {
      const text = JSON.stringify(jobAnswer(job, path))
      const ended = ENDED.includes(job.state)
      if (text !== sent) yield `${ended ? `id: ${LAST}\n` : ''}data: ${text}\n\n`
      else yield ': alive\n\n'
      sent = text
      if (ended) return
      // what was told while the queue could not be reached is seen after that time
      await changes.next(ALIVE_MS)
      if (gone.aborted) return
    }
  } finally {
    unwatch()
  }
}

class Changes {
  #changed = false
  #wake: () => void = () => {}
  readonly #gone: AbortSignal

  constructor(gone: AbortSignal) {
    this.#gone = gone
    gone.addEventListener('abort', () => this.#wake())
  }

  tell(): void {
    this.#changed = true
    this.#wake()
  }

  /** Settles when something has changed since it was last asked, after that time, or when nobody listens any more. */
  async next(ms: number): Promise<void> {
    if (!this.#changed && !this.#gone.aborted) {
      await new Promise<void>(resolve => {
        const clock = setTimeout(resolve, ms)
        this.#wake = () => {
          clearTimeout(clock)
          resolve()
        }
      })
    }
    this.#changed = false
  }
}
