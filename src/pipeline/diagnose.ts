/** Why a candidate is wrong: the usual mistakes, each tried as the same comparison under it. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Hypothesis } from '../endpoints/compare/hypotheses/hypothesis.ts'
import { hypothesesOf } from '../endpoints/compare/hypotheses/list.ts'
import { compare } from '../endpoints/compare/index.ts'
import { locality } from '../endpoints/compare/locality.ts'
import { narrowed, worstPlace } from '../endpoints/compare/narrow.ts'
import { patched } from '../endpoints/compare/patch.ts'
import type { Report } from '../endpoints/compare/report.ts'
import type { CompareRequest } from '../endpoints/compare/request.ts'
import { contradicts, forwardAlone, mayHold, withoutBaseline } from '../endpoints/compare/sift.ts'
import type { Engine } from '../engine/engine.ts'
import { jsonTree } from '../formats/body.ts'
import { Problem } from '../problem.ts'
import { Decoded } from './decode.ts'
import type { ReplyStyle } from './reply.ts'
import { type Compiled, compileAtOnce } from './serve.ts'

export interface Finding {
  says: string
  change: Hypothesis['change']
  explains: number
}

const STYLE: ReplyStyle = { format: 'json', encoding: 'nested', dtype: 'float64', fields: 'response' }

export type Spend = (flops: number) => void | Promise<void>

/** A hypothesis to be tried: by each of these comparisons, the cheapest kind first, as long as it may hold. */
interface Trial {
  hypothesis: Hypothesis
  rounds: Round[]
}

interface Round {
  request: CompareRequest | undefined
  /** the same tensors as they are without the hypothesis */
  before: Report
}

/**
 * Those that explain the candidate, best first: no tensor fails under them that passed, and one at least passes that failed. Where none
 * explains everything, it is also said where it is wrong, if that is a part alone. `until`: when (by performance.now()) no other is
 * begun. What there was no time for is put into the report, as `not_tried`. `spend`
 * fails where its client may not compute as much.
 */
export async function diagnose(
  request: CompareRequest,
  before: Report,
  engine: Engine,
  signal: AbortSignal,
  until: number,
  spend?: Spend,
): Promise<Finding[]> {
  using texts = new Decoded('json', engine)
  const run = new Runs(engine, signal, until, spend)
  const hypotheses = hypothesesOf(request)
  const place = worstPlace(request, before)
  const there = place && narrowed({ ...request, top: 0 }, place)
  const found = there && (await run.report(there))
  const beforeThere = found === undefined || found === 'late' || found.verdict === 'pass' ? undefined : found
  let trials = hypotheses.flatMap((hypothesis): Trial[] => {
    const whole = changedRequest(request, hypothesis, list => located(texts, list))
    if (whole === undefined) return []
    const part = place && beforeThere && !hypothesis.ofAllHeads ? narrowed(whole, place) : undefined
    const least =
      part !== undefined && beforeThere !== undefined
        ? { request: part, before: beforeThere }
        : { request: whole, before }
    const quick = { ...least, request: withoutBaseline(least.request, least.before) }
    const forward = { ...quick, request: forwardAlone(quick.request, hypothesis) }
    return [{ hypothesis, rounds: [forward, quick, { request: whole, before }] }]
  })
  const left: Hypothesis[] = []
  const explained: (Finding & { hypothesis: Hypothesis })[] = []
  for (const round of [0, 1, 2]) {
    const likely: Trial[] = trials.filter(({ rounds }) => rounds[round].request === undefined)
    for (const { trial, report } of await run.cheapestFirst(trials, ({ rounds }) => rounds[round].request)) {
      const { hypothesis, rounds } = trial
      const was = rounds[round].before
      if (report === 'late') left.push(hypothesis)
      else if (round < 2 && (report === undefined || mayHold(was, report))) likely.push(trial)
      else if (report !== undefined) {
        const { says, change } = hypothesis
        const explains = shareMended(was, report)
        if (explains > 0) explained.push({ says, change, explains, hypothesis })
      }
    }
    trials = likely
  }
  if (left.length > 0) before.not_tried = left.map(({ says }) => says)
  const order = (finding: { hypothesis: Hypothesis }) => hypotheses.indexOf(finding.hypothesis)
  const best = explained
    .toSorted((a, b) => b.explains - a.explains || order(a) - order(b))
    .map(({ says, change, explains }) => ({ says, change, explains }))
  // what explains all leaves nothing to those that explain a part
  if (best[0]?.explains === 1) return best.filter(({ explains }) => explains === 1)
  const where = locality(before)
  return where === undefined ? best : [...best, where]
}

/** A program, and how long it should take. */
interface Priced extends Compiled {
  seconds: number
}

/** Programs of comparisons, one after the other, as far as there is time. */
class Runs {
  readonly #engine: Engine
  readonly #signal: AbortSignal
  readonly #until: number
  readonly #spend: Spend | undefined

  constructor(engine: Engine, signal: AbortSignal, until: number, spend?: Spend) {
    this.#spend = spend
    this.#engine = engine
    this.#signal = signal
    this.#until = until
  }

  /** What comes of each that has a request; nothing where it cannot be tried. */
  async cheapestFirst(trials: Trial[], requestOf: (trial: Trial) => CompareRequest | undefined) {
    const outcomes: { trial: Trial; report: Report | 'late' | undefined }[] = []
    const compiled: (Priced & { trial: Trial })[] = []
    for (const trial of trials) {
      const request = requestOf(trial)
      if (request === undefined) continue
      const priced = this.#compiled(request)
      if (priced === undefined) outcomes.push({ trial, report: undefined })
      else compiled.push({ trial, ...priced })
      // others have their turn
      await nextTurn()
    }
    for (const each of compiled.toSorted((a, b) => a.seconds - b.seconds)) {
      outcomes.push({ trial: each.trial, report: await this.#reportOf(each) })
    }
    return outcomes
  }

  async report(request: CompareRequest): Promise<Report | 'late' | undefined> {
    const compiled = this.#compiled(request)
    return compiled && this.#reportOf(compiled)
  }

  /** undefined where options do not go together, or shapes do not fit: it cannot be tried. */
  #compiled(request: CompareRequest): Priced | undefined {
    try {
      const compiled = compileAtOnce(compare, request, STYLE)
      const { seconds } = this.#engine.estimate(compiled.program, compiled.memory)
      return { ...compiled, seconds }
    } catch (error) {
      if (error instanceof Problem && error.status < 499) return undefined
      throw error
    }
  }

  async #reportOf({ program, memory, seconds }: Priced) {
    if (performance.now() + 1000 * seconds > this.#until) return 'late'
    try {
      const { arena } = this.#engine
      const admitted = this.#engine.admit(program, memory)
      using lease = admitted instanceof Promise ? await admitted : admitted
      await this.#spend?.(lease.estimate.flops)
      const { fault } = await this.#engine.run(lease, this.#signal)
      if (fault !== undefined || program.report === undefined) return undefined
      const { buffers } = lease.placement
      return program.report(
        ref => new Float64Array(arena.memory.buffer, buffers[ref].offset, buffers[ref].length),
      ) as Report
    } catch (error) {
      if (!(error instanceof Problem) || this.#signal.aborted) throw error
      // no room for it now, or no budget
      if (error.code === 'BUSY' || error.code === 'RATE_LIMITED') return 'late'
      if (error.status < 499) return undefined
      throw error
    }
  }
}

/** A list of numbers as it stands in a tree: located in a text. */
function located(texts: Decoded, list: readonly number[]): unknown {
  const text = Buffer.from(JSON.stringify({ list }))
  const bytes = texts.room(text.length)
  bytes.set(text)
  const scan = texts.engine.scanHere(bytes)
  if (scan === undefined) throw new Error('expected a list of numbers to be one value of its text')
  return (jsonTree(bytes, scan) as { list: unknown }).list
}

/** The same comparison under a hypothesis; undefined where the body cannot be changed like this. */
function changedRequest(
  request: CompareRequest,
  { change, alteration }: Hypothesis,
  read: (list: readonly number[]) => unknown,
): CompareRequest | undefined {
  const less = { ...request, alteration, top: 0 }
  if (change === null) return less
  const parsed = request.parseBody(patched(request.tree, change, read))
  return parsed.success ? { ...less, body: parsed.data } : undefined
}

/** The share of mismatched elements that are none under a hypothesis; 0 where it explains no tensor, or is further off in one. */
function shareMended({ tensors: before }: Report, { tensors: after }: Report): number {
  if (contradicts(before, after)) return 0
  let [failed, left, mended] = [0, 0, 0]
  for (const [name, { mismatched }] of Object.entries(before)) {
    if (mismatched > 0 && after[name].mismatched === 0) mended++
    failed += mismatched
    left += after[name].mismatched
  }
  return mended === 0 ? 0 : Math.max(0, (failed - left) / failed)
}
