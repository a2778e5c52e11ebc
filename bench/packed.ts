/**
 * Packed sequences beside the same in a batch, in both layouts, and beside a request for each: whole programs of `POST /v1/attention` on
 * one thread, milliseconds. They run in turns, each in memory of its own, and the best of many turns counts.
 */
import { planMemory } from '../src/engine/memory-plan.ts'
import { ALIGN, PAGE } from '../workers/layout.ts'
import { compileShapes, runner } from './approximations.ts'
import { table } from './report.ts'

const SIZES = [
  [64, 128, 4, 64],
  [64, 128, 1, 64],
  [16, 512, 4, 64],
]
const TURNS_MS = 8000
const TURN_MS = 60
/** Where the scratch memory of all stands, beyond their tensors. */
const SCRATCH = 6400 * PAGE

/** Programs behind one another in memory, to be run in turns. */
class Programs {
  readonly #backward: boolean
  #first = PAGE

  constructor(backward: boolean) {
    this.#backward = backward
  }

  runner(shape: number[], more: object): () => void {
    const tensor = { shape }
    const body = { q: tensor, k: tensor, v: tensor, return: ['output'], ...more }
    const program = compileShapes(this.#backward ? { ...body, backward: { grad_output: tensor } } : body)
    const run = runner(program, this.#first, SCRATCH)
    this.#first += Math.ceil(planMemory(program).bytes / ALIGN) * ALIGN
    return run
  }
}

/** The thread's own time, as in approximations.ts. */
function milliseconds(run: () => void): number {
  const begin = process.threadCpuUsage()
  let [runs, spent] = [0, 0]
  for (; spent < TURN_MS; runs++) {
    run()
    const { user, system } = process.threadCpuUsage(begin)
    spent = (user + system) / 1000
  }
  return spent / runs
}

function bestInTurns(runs: (() => void)[]): number[] {
  const best = runs.map(() => Number.POSITIVE_INFINITY)
  for (const end = performance.now() + TURNS_MS; performance.now() < end; ) {
    for (const [index, run] of runs.entries()) best[index] = Math.min(best[index], milliseconds(run))
  }
  return best
}

export function benchPacked(): void {
  const rows = SIZES.flatMap(([sequences, length, heads, dim]) =>
    [false, true].map(backward => {
      const programs = new Programs(backward)
      const alone = Array.from({ length: sequences }, () => programs.runner([1, heads, length, dim], {}))
      const starts = { cu_seqlens_q: { shape: [sequences + 1] } }
      const best = bestInTurns([
        programs.runner([sequences, heads, length, dim], {}),
        () => {
          for (const run of alone) run()
        },
        programs.runner([sequences, length, heads, dim], { layout: 'bnhd' }),
        programs.runner([sequences * length, heads, dim], starts),
      ])
      const [batch, single, , packed] = best
      const name = `${sequences} of ${length}, ${heads} heads of ${dim}${backward ? ', backward' : ''}`
      const ratios = [packed / batch, packed / single].map(ratio => ratio.toFixed(3))
      return [name, ...best.map(ms => ms.toFixed(2)), ...ratios]
    }),
  )
  const forms = ['[B,H,N,d]', 'B × [1,H,N,d]', '[B,N,H,d]', 'packed']
  console.log(table(['sequences', ...forms, 'packed : [B,H,N,d]', 'packed : B × [1,H,N,d]'], rows))
}
