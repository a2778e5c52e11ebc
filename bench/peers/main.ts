/**
 * Other libraries beside ours, in one run, on the same threads and in turn: ONNX Runtime and jax-js where they are
 * installed (`npm install --ignore-scripts --prefix bench`), PyTorch where a python3 can import it.
 */
import { median, table } from '../report.ts'
import type { Case, Contender, Prepared } from './contender.ts'
import { jaxJs } from './jax-js.ts'
import { onnx } from './onnx.ts'
import { ours } from './ours.ts'
import { pytorch } from './pytorch.ts'

const SIZES = [512, 1024, 2048, 4096]
const TOKENS = 512
/** Each contender's runs of a case take at most about this long together, and are between LEAST and MOST in number. */
const BUDGET_MS = 2000
const [LEAST, MOST] = [3, 21]
/** For threads of the one before to stop spinning: OpenBLAS's do so for 2²⁸ ticks, 0.1 s. */
const PAUSE_MS = 200
/** Runs back to back in one turn, the first of them after the pause; of what takes long, one says as much. */
const BACK_TO_BACK = 3
const LONG_MS = 250

const PARTS: Record<string, Case[]> = {
  forward: SIZES.flatMap(n =>
    [false, true].map((causal): Case => ({ kind: 'attention', n, causal, backward: false })),
  ),
  'forward + backward': SIZES.flatMap(n =>
    [false, true].map((causal): Case => ({ kind: 'attention', n, causal, backward: true })),
  ),
  layers: [false, true].flatMap((backward): Case[] => [
    { kind: 'multi-head', n: TOKENS, causal: false, backward },
    { kind: 'encoder', n: TOKENS, causal: false, backward, norm: 'post' },
    { kind: 'encoder', n: TOKENS, causal: false, backward, norm: 'pre' },
  ]),
}

export async function benchPeers(): Promise<void> {
  for (const threads of [1, 2]) {
    const all = [await ours(threads), await onnx(threads), await pytorch(threads), await jaxJs(threads)]
    const contenders = all.filter(contender => contender !== undefined)
    for (const [part, cases] of Object.entries(PARTS)) {
      const rows: string[][] = []
      for (const of of cases) rows.push(...(await compare(contenders, of, threads)))
      const columns = ['after a pause', 'back to back', 'best'].flatMap(name => [`${name} ms`, '× ours'])
      console.log(table([part, 'threads', 'library', ...columns], rows))
    }
    for (const contender of contenders) await contender.close()
  }
}

interface Entrant {
  name: string
  prepared: Prepared
  /** milliseconds of each turn's runs */
  turns: number[][]
}

/**
 * Everybody's runs in turn, so that a disturbance hits all alike: after a pause, when the cores have slept, and back to
 * back. The ratios are the medians of the rounds', and that of the best runs.
 */
async function compare(contenders: Contender[], of: Case, threads: number): Promise<string[][]> {
  const entrants: Entrant[] = []
  for (const contender of contenders) {
    const prepared = await contender.prepare(of)
    if (prepared !== undefined) entrants.push({ name: contender.name, prepared, turns: [] })
  }
  // the first runs, which tell how many there may be
  let longest = 0
  for (const { prepared } of entrants) longest = Math.max(longest, await prepared.run())
  const runs = longest > LONG_MS ? 1 : BACK_TO_BACK
  const rounds = Math.max(Math.ceil(Math.min(MOST, BUDGET_MS / longest / runs)), LEAST)
  for (let round = 0; round < rounds; round++) {
    for (const { prepared, turns } of entrants) {
      await new Promise(resolve => setTimeout(resolve, PAUSE_MS))
      const times: number[] = []
      while (times.length < runs) times.push(await prepared.run())
      turns.push(times)
    }
  }
  for (const { prepared } of entrants) await prepared.close()
  const [ours] = entrants
  return entrants.map(({ name, turns }) => {
    const figures = [firstOf, lastOf].flatMap(pick => {
      const times = turns.map(pick)
      return [median(times), median(times.map((ms, round) => ms / pick(ours.turns[round])))]
    })
    const best = Math.min(...turns.flat())
    figures.push(best, best / Math.min(...ours.turns.flat()))
    return [title(of), String(threads), name, ...figures.map(figure => figure.toFixed(2))]
  })
}

const firstOf = (times: number[]): number => times[0]
const lastOf = (times: number[]): number => times[times.length - 1]

function title({ kind, n, causal, backward, norm }: Case): string {
  if (kind === 'attention') return `[1,8,${n},64]${causal ? ' causal' : ''}`
  const name = kind === 'multi-head' ? 'multi-head attention' : `6 encoder layers, ${norm}-norm`
  return `${name}, [1,${n},512], ${backward ? 'forward + backward' : 'forward'}`
}
