/** One, two and three servers of one thread: how long a job takes that is cut into parts, and how many jobs a minute they do. Writes docs/replicas.svg. */
import { writeFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { expect, it } from 'vitest'
import { ended, longBody } from '../../system/redis/long-jobs.ts'
import { RedisServer } from '../../system/redis/redis-server.ts'
import { startReplica, temporaryStore } from '../../system/redis/replicas.ts'
import { report } from '../figures.ts'
import { plot } from '../plot.ts'
import { LONG, scaled } from '../scale.ts'

const SERVERS = scaled(2, 3)
const ITEMS = scaled(2, 12)
const JOBS = scaled(2, 24)

const redis = await RedisServer.start()

it('shares a job that is cut among servers, with the bits of one', async () => {
  const { url } = await temporaryStore()
  const one = longBody()
  const count = ITEMS * 2 * 500 * 32
  const bytes = Buffer.from(Float32Array.from({ length: count }, (_, at) => Math.sin(at)).buffer)
  const x = { shape: [ITEMS, 2, 500, 32], dtype: 'float32', base64: bytes.toString('base64') }
  const body = { ...one, q: x, k: x, v: x, backward: { grad_output: x } }
  const seconds: number[] = []
  const perMinute: number[] = []
  const answers: unknown[] = []
  for (let servers = 1; servers <= SERVERS; servers++) {
    const env = {
      REDIS_URL: redis.url(servers),
      STORE_URL: url,
      MAX_FLOPS: String(400e6),
      JOBS_AT_ONCE: '1',
      JOBS_PER_KEY: '8',
    }
    const all = await Promise.all(Array.from({ length: servers }, () => startReplica(env)))
    const [first] = all
    const run = async (bodies: object[]) => {
      const begun = performance.now()
      const taken = await Promise.all(
        bodies.map(each => first.ask('/v1/jobs', { endpoint: '/v1/attention', body: each })),
      )
      for (const { status, body: problem } of taken) expect(status, JSON.stringify(problem)).toBe(202)
      for (const { body: job } of taken) expect((await ended(first, job.id)).state).toBe('done')
      return { seconds: (performance.now() - begun) / 1000, jobs: taken.map(({ body: job }) => job) }
    }
    // compiled code, and a cost model that has learnt
    await run(Array.from({ length: 2 * servers }, () => one))
    const cut = await run([body])
    expect(cut.jobs[0].parts).toBe(ITEMS)
    answers.push((await first.ask(`/v1/jobs/${cut.jobs[0].id}/result`)).body)
    seconds.push(cut.seconds)
    const many = await run(Array.from({ length: JOBS }, () => one))
    perMinute.push((60 * JOBS) / many.seconds)
    await Promise.all(all.map(replica => replica.kill('SIGTERM')))
  }
  for (const answer of answers) expect(answer).toEqual(answers[0])
  if (!LONG) return
  const servers = seconds.map((_, at) => at + 1)
  const ideal = (value: (count: number) => number) => servers.map(value)
  const caption = `Servers of one thread on one machine of ${availableParallelism()} cores, with Redis and the client; dashed: if each did as much as one alone`
  const panels = [
    {
      title: `Seconds of a job in ${ITEMS} parts`,
      values: seconds,
      ideal: ideal(n => seconds[0] / n),
      digits: 1,
    },
    { title: 'Jobs a minute', values: perMinute, ideal: ideal(n => perMinute[0] * n), digits: 0 },
  ]
  await writeFile(new URL('../../../docs/replicas.svg', import.meta.url), plot(panels, caption))
  report(
    'one, two and three servers',
    `a job in ${ITEMS} parts: ${seconds.map(each => each.toFixed(1)).join(', ')} s; ${perMinute.map(each => each.toFixed(0)).join(', ')} jobs a minute; servers of one thread on ${availableParallelism()} cores, with Redis and the client`,
  )
}, 600_000)
