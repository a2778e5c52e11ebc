/** Ten times what the server can do, of mixed sizes, some of it malformed. */
import { expect, it } from 'vitest'
import { uniformNumbers } from '../support/numbers.ts'
import { startReplica } from '../support/replica.ts'
import { milliseconds, percentile, report } from './figures.ts'
import { LONG, lasting, SEED, scaled } from './scale.ts'
import { megabytes, memoryOf } from './service.ts'
import { type Answered, closedLoop, openLoop, Tally } from './traffic.ts'
import { watchSmall } from './watch.ts'

/** Answers that are waited for at once. */
const MOST_OPEN = scaled(700, 2000)
const SECONDS = lasting(2, 60)
const ALLOWED = /^(2\d\d|4\d\d|503)$/

it('answers 2xx, 4xx, 429 or 503 to ten times the load that it can bear, small requests at once, and has its memory back', async () => {
  const draw = uniformNumbers(SEED)
  const { port, process: child } = await startReplica()
  const url = `http://127.0.0.1:${port}`
  const pid = child.pid as number
  // memory grows for what runs at once: what came to stay is there behind this
  await closedLoop(port, 64, scaled(1, 5), draw)
  const known = await closedLoop(port, 16, scaled(1, 10), draw)
  const capacity = known.answers / scaled(1, 10)
  await rest()
  const before = await memoryOf(url, pid)

  const tally = new Tally()
  const answers = new Map<string, Buffer>()
  const wrong: string[] = []
  const seen = (answered: Answered) => {
    tally.add(answered)
    const { kind, status, bytes } = answered
    const allowed =
      ALLOWED.test(String(status)) && (kind.name === 'malformed' || status === 200 || status === 503)
    if (!allowed || (kind.name === 'malformed' && status === 200))
      wrong.push(`${kind.name}: ${status} ${bytes.toString().slice(0, 200)}`)
    if (status !== 200) return
    const first = answers.get(kind.name)
    if (first === undefined) answers.set(kind.name, bytes)
    else if (!first.equals(bytes)) wrong.push(`${kind.name}: other bytes than before`)
  }
  const ended = watchSmall(port)
  const offered = await openLoop(port, 10 * capacity, SECONDS, MOST_OPEN, draw, seen)
  const { times, statuses } = await ended()
  expect(wrong.slice(0, 5)).toEqual([])
  expect(Object.keys(statuses).filter(status => !['200', '503', '429'].includes(status))).toEqual([])
  await rest()
  const after = await memoryOf(url, pid)
  expect(after.used).toBe(before.used)

  report(
    'ten times the capacity',
    `${capacity.toFixed(0)} requests/s known, ${(offered.offered / SECONDS).toFixed(0)}/s sent for ${SECONDS} s (${offered.heldBack} more wanted, ${MOST_OPEN} on their way at most): ` +
      `${tally.of(200)} answered, ${tally.of(503) + tally.of(429)} refused, ${tally.answers - tally.of(200) - tally.of(503) - tally.of(429)} malformed ones told so, nothing else; ` +
      `small ones beside it: ${milliseconds(times)}, ${statuses[503] ?? 0} refused; memory beside tensors ${megabytes(before.others)} → ${megabytes(after.others)}, heap ${megabytes(before.heap)} → ${megabytes(after.heap)}`,
  )
  if (!LONG) return
  expect(percentile(times, 0.99)).toBeLessThan(50)
  expect(after.heap).toBeLessThan(before.heap + (48 << 20))
  expect(after.others).toBeLessThan(before.others + (128 << 20))

  /** Nothing is under way, and the collector has had its time. */
  async function rest(): Promise<void> {
    const idle = async () => (await memoryOf(url, pid)).used
    let used = await idle()
    for (let same = 0; same < scaled(3, 20); same++) {
      await new Promise(resolve => setTimeout(resolve, scaled(50, 500)))
      const now = await idle()
      if (now !== used) same = 0
      used = now
    }
  }
})
