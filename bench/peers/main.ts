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
/** Each contender's runs of a case take about this long together, and are at least and at most so many. */
const BUDGET_MS = 1000
const [LEAST, MOST] = [3, 21]
/** For threads of the one before to stop spinning. */
const PAUSE_MS = 60

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
    const all = [ours(threads), await onnx(threads), await pytorch(threads), await jaxJs(threads)]
    const contenders = all.filter(contender => contender !== undefined)
    for (const [part, cases] of Object.entries(PARTS)) {
      const rows: string[][] = []
      for (const of of cases) rows.push(...(await compare(contenders, of, threads)))
      console.log(table([part, 'threads', 'library', 'ms', 'times ours', 'best ms', 'times ours'], rows))
    }
    for (const contender of contenders) await contender.close()
  }
}

/** Everybody's runs in turn, so that a disturbance hits all alike; the ratios are the median of the rounds', and that of the best runs. */
async function compare(contenders: Contender[], of: Case, threads: number): Promise<string[][]> {
  const entrants: { name: string; prepared: Prepared; times: number[] }[] = []
  for (const contender of contenders) {
    const prepared = await contender.prepare(of)
    if (prepared !== undefined) entrants.push({ name: contender.name, prepared, times: [] })
  }
  // the first runs, which tell how many there may be
  let rounds = MOST
  for (const { prepared } of entrants) rounds = Math.min(rounds, BUDGET_MS / (await prepared.run()))
  for (let round = 0; round < Math.max(Math.ceil(rounds), LEAST); round++) {
    for (const { prepared, times } of entrants) {
      await new Promise(resolve => setTimeout(resolve, PAUSE_MS))
      times.push(await prepared.run())
    }
  }
  for (const { prepared } of entrants) await prepared.close()
  const [first] = entrants
  return entrants.map(({ name, times }) => {
    const ratio = median(times.map((ms, round) => ms / first.times[round]))
    const best = Math.min(...times)
    const figures = [median(times), ratio, best, best / Math.min(...first.times)]
    return [title(of), String(threads), name, ...figures.map(figure => figure.toFixed(2))]
  })
}

function title({ kind, n, causal, backward, norm }: Case): string {
  if (kind === 'attention') return `[1,8,${n},64]${causal ? ' causal' : ''}`
  const name = kind === 'multi-head' ? 'multi-head attention' : `6 encoder layers, ${norm}-norm`
  return `${name}, [1,${n},512], ${backward ? 'forward + backward' : 'forward'}`
}
