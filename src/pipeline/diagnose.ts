/** Why a candidate is wrong: the usual mistakes, each tried as the same comparison under it. */
import type { Hypothesis } from '../endpoints/compare/hypotheses/hypothesis.ts'
import { hypothesesOf } from '../endpoints/compare/hypotheses/list.ts'
import { compare } from '../endpoints/compare/index.ts'
import { narrowed, worstPlace } from '../endpoints/compare/narrow.ts'
import { patched } from '../endpoints/compare/patch.ts'
import type { Report } from '../endpoints/compare/report.ts'
import type { CompareRequest } from '../endpoints/compare/request.ts'
import type { Engine } from '../engine/engine.ts'
import { jsonTree } from '../formats/body.ts'
import { Problem } from '../problem.ts'
import { Decoded } from './decode.ts'
import type { ReplyStyle } from './reply.ts'
import { compileAtOnce } from './serve.ts'

export interface Finding {
  says: string
  change: Hypothesis['change']
  explains: number
}

const STYLE: ReplyStyle = { format: 'json', encoding: 'nested', dtype: 'float64', fields: 'response' }

/**
 * Those that explain the candidate, best first: no tensor fails under them that passed, and one at least passes that failed. `until`: when
 * (by performance.now()) no other is begun; one that would take longer is left out. `spend` throws where one would cost too much.
 */
export async function diagnose(
  request: CompareRequest,
  before: Report,
  engine: Engine,
  signal: AbortSignal,
  until: number,
  spend?: (flops: number) => void,
): Promise<Finding[]> {
  using texts = new Decoded('json', engine)
  const findings: Finding[] = []
  const place = worstPlace(request, before)
  const there = place && narrowed({ ...request, top: 0 }, place)
  const beforeThere = there && (await reportUnder(there, engine, signal, until, spend))
  for (const hypothesis of hypothesesOf(request)) {
    const changed = changedRequest(request, hypothesis, list => located(texts, list))
    if (changed === undefined) continue
    if (place && beforeThere?.verdict === 'fail' && !hypothesis.ofAllHeads) {
      const first = narrowed(changed, place)
      const found = first && (await reportUnder(first, engine, signal, until, spend))
      if (found !== undefined && shareMended(beforeThere, found) === 0) continue
    }
    const report = await reportUnder(changed, engine, signal, until, spend)
    const explains = report === undefined ? 0 : shareMended(before, report)
    if (explains > 0) findings.push({ says: hypothesis.says, change: hypothesis.change, explains })
  }
  const best = findings.toSorted((a, b) => b.explains - a.explains)
  // what explains all leaves nothing to those that explain a part
  return best[0]?.explains === 1 ? best.filter(({ explains }) => explains === 1) : best
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

async function reportUnder(
  request: CompareRequest,
  engine: Engine,
  signal: AbortSignal,
  until: number,
  spend: ((flops: number) => void) | undefined,
): Promise<Report | undefined> {
  try {
    const { program, memory } = compileAtOnce(compare, request, STYLE)
    const { seconds } = engine.estimate(program, memory)
    if (performance.now() + 1000 * seconds > until) return undefined
    const admitted = engine.admit(program, memory)
    using lease = admitted instanceof Promise ? await admitted : admitted
    spend?.(lease.estimate.flops)
    const { fault } = await engine.run(lease, signal)
    if (fault !== undefined || program.report === undefined) return undefined
    const { buffers } = lease.placement
    return program.report(
      ref => new Float64Array(engine.arena.memory.buffer, buffers[ref].offset, buffers[ref].length),
    ) as Report
  } catch (error) {
    // options that do not go together, shapes that do not fit, no room: it cannot be tried
    if (error instanceof Problem && error.status < 499 && !signal.aborted) return undefined
    if (error instanceof Problem && error.code === 'BUSY') return undefined
    throw error
  }
}

/** The share of mismatched elements that are none under a hypothesis; 0 where it explains no tensor, or is further off in one. */
function shareMended({ tensors: before }: Report, { tensors: after }: Report): number {
  let [failed, left, mended] = [0, 0, 0]
  for (const [name, { mismatched, rmse }] of Object.entries(before)) {
    const now = after[name]
    if (now.mismatched > 0 && (mismatched === 0 || !(Number(now.rmse) <= Number(rmse)))) return 0
    if (mismatched > 0 && now.mismatched === 0) mended++
    failed += mismatched
    left += now.mismatched
  }
  return mended === 0 ? 0 : Math.max(0, (failed - left) / failed)
}
