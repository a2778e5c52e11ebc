/**
 * The answers of some hundred requests, bit for bit, against digests that are committed: whatever is moved in the
 * service, no client may notice. `UPDATE_DIGESTS=1 npx vitest run test/service/digests.test.ts` records them anew; a
 * commit that does so names each one that has changed and says why.
 *
 * The kernels are forced to simd128, whose operations give the same bits on every machine. float64 uses Math.exp,
 * Math.tanh and the like of V8: the same bits within one version of Node, so that a new one may change those digests.
 * Answers in which a NaN may stand are asked for as text, the bits of a NaN being the processor's own.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { afterAll, describe, expect, it } from 'vitest'
import { ATTENTION_OPTIONS } from './digests/attention.ts'
import { ATTENTION_EDGES } from './digests/attention-edges.ts'
import { FORM_CASES } from './digests/forms.ts'
import { KIND_CASES } from './digests/kinds.ts'
import { LAYER_CASES } from './digests/layers.ts'
import { PLANS } from './digests/plans.ts'
import { PROBLEM_CASES } from './digests/problems.ts'
import { STREAM_RUNS } from './digests/runs.ts'
import { answerOf, planOf, problemOf, type Seen } from './digests/send.ts'
import { STACK_CASES } from './digests/stacks.ts'
import { framesOf } from './digests/stream-frames.ts'
import { type Server, startServer } from './server.ts'

type Table = Record<string, Record<string, string>>

const FILE = new URL('./digests/digests.json', import.meta.url)
const update = process.env.UPDATE_DIGESTS === '1'
const committed = JSON.parse(readFileSync(FILE, 'utf8')) as Table
const recorded: Table = {}

// every limit is said here: the defaults are the machine's
const limits = {
  MAX_BODY_BYTES: String(4 << 20),
  MAX_REQUEST_BYTES: String(256 << 20),
  MAX_FLOPS: '5e9',
  QUEUE_SECONDS: '1000000',
}
const [one, two] = await Promise.all(
  ['1', '2'].map(THREADS => startServer({ ...limits, KERNELS: 'simd128', THREADS })),
)

const withoutBytes = (record: string) => record.replace(/\d+ bytes/, '')

/** What is seen with two workers. With one, all must be the same but the memory, work areas being each worker's own. */
const either =
  <T>(see: (server: Server, each: T) => Promise<Seen>) =>
  async (each: T): Promise<Seen> => {
    const seen = await see(two, each)
    const again = await see(one, each)
    expect(withoutBytes(again.record), 'with one worker').toBe(withoutBytes(seen.record))
    return seen
  }

function group<T extends { name: string }>(title: string, cases: T[], see: (each: T) => Promise<Seen>): void {
  const names = cases.map(({ name }) => name)
  const table = committed[title] ?? {}
  // in the order of the requests; one that is not run now keeps its digest
  const seen = Object.fromEntries(names.map(name => [name, table[name]]))
  recorded[title] = seen
  describe(title, () => {
    it.each(cases)('$name', async each => {
      const { record, head } = await see(each)
      seen[each.name] = record
      if (update) return
      expect(record, `${title}: ${each.name}\n${head}`).toBe(table[each.name])
    })

    it('has one digest for each request', () => {
      expect(new Set(names).size).toBe(names.length)
      if (!update) expect(Object.keys(table)).toEqual(names)
    })
  })
}

group('attention, options', ATTENTION_OPTIONS, either(answerOf))
group('attention, edges', ATTENTION_EDGES, either(answerOf))
group('attention kinds', KIND_CASES, either(answerOf))
group('layers', LAYER_CASES, either(answerOf))
group('stacks', STACK_CASES, either(answerOf))
group('forms', FORM_CASES, either(answerOf))
group('plans', PLANS, either(planOf))
group('problems', PROBLEM_CASES, each => problemOf(two, each))
group('streams', STREAM_RUNS, either(framesOf))

afterAll(() => {
  if (update) writeFileSync(FILE, `${JSON.stringify(recorded, null, 2)}\n`)
})
