/** `npm run conformance`: how many of ONNX's cases pass, as docs/conformance.md publishes it. */
import { readCases } from './onnx-cases.ts'
import { Pipeline } from './pipeline.ts'
import { readingOf } from './readings/index.ts'
import { type Outcome, PRECISIONS, runCases } from './run.ts'

/** Runs every case and prints the scoreboard. Whether all cases pass that have been run. */
export async function conformance(print: (text: string) => void): Promise<boolean> {
  const { version, cases } = readCases()
  const pipeline = await Pipeline.start()
  try {
    const outcomes = await runCases(pipeline, cases)
    print(scoreboard(version, outcomes))
    return outcomes.every(({ faults }) => faults.length === 0)
  } finally {
    await pipeline.close()
  }
}

export function scoreboard(version: string, outcomes: Outcome[]): string {
  const rows = Map.groupBy(outcomes, ({ of }) => `${of.operator} | ${of.opset}`)
  const failed = outcomes.filter(({ faults }) => faults.length > 0)
  return [
    headOf(version, outcomes),
    '',
    `| operator | opset | cases | ${PRECISIONS.join(' | ')} | read as |`,
    '|---|---|---|---|---|---|',
    ...[...rows].map(([row, of]) => `| ${row} | ${cellsOf(of).join(' | ')} |`),
    ...(failed.length > 0 ? [''] : []),
    ...failed.map(({ of, precision, faults }) => `- ${of.name}, ${precision}: ${faults.join('; ')}`),
  ].join('\n')
}

function headOf(version: string, outcomes: Outcome[]): string {
  const failed = new Set(outcomes.flatMap(({ of, faults }) => (faults.length > 0 ? [of] : [])))
  const awaiting = casesOf(outcomes.filter(isAwaiting))
  const cases = casesOf(outcomes)
  const passed = cases - awaiting - failed.size
  const rest = awaiting > 0 ? `; ${awaiting} await what is being built` : ''
  return `ONNX ${version}: ${passed} of ${cases} cases pass, in ${PRECISIONS.join(' and ')}${rest}`
}

/** Of an operator in an opset. */
function cellsOf(outcomes: Outcome[]): string[] {
  const awaiting = outcomes.filter(isAwaiting)
  const awaited = awaiting.length > 0 ? `; ${casesOf(awaiting)} await ${awaiting[0].awaits}` : ''
  const passes = PRECISIONS.map(precision =>
    outcomes.filter(each => each.precision === precision && isPass(each)),
  )
  return [
    String(casesOf(outcomes)),
    ...passes.map(({ length }) => String(length)),
    readingOf(outcomes[0].of.operator).how + awaited,
  ]
}

/** How many cases; each has been run in every precision. */
function casesOf(outcomes: Outcome[]): number {
  return outcomes.length / PRECISIONS.length
}

function isAwaiting({ awaits }: Outcome): boolean {
  return awaits !== undefined
}

function isPass({ awaits, faults }: Outcome): boolean {
  return awaits === undefined && faults.length === 0
}
