/**
 * Mutation testing: `npm run mutate`, or `npm run mutate -- attention masks` for some groups. Each group is held against
 * the tests that see its files, and must reach the score of `stryker.config.json` by itself. docs/mutation.md has the
 * figures, and the mutants that are left with a reason for each.
 */
import { relative } from 'node:path'
import { Stryker } from '@stryker-mutator/core'

type Mutants = Awaited<ReturnType<Stryker['runMutationTest']>>

interface Group {
  files: string[]
  tests: string[]
  /**
   * Leaves out the mutants that make i-- of i++: in a kernel's loops they are all endless, which any test finds, after half
   * a minute each. They would only raise the score.
   */
  loops?: true
}

const OPS = 'workers/ops'
const SMALL_OPS = ['activation', 'elementwise', 'linear', 'lsh', 'norm', 'passes', 'qk-norm', 'rope']

const GROUPS: Record<string, Group> = {
  attention: {
    files: [`${OPS}/attention/reference/*.ts`],
    tests: [
      ...['formulas', 'intervals', 'terms', 'jvp'].map(test => `${OPS}/attention/${test}.test.ts`),
      'src/endpoints/jvp.test.ts',
    ],
  },
  'linear-attention': {
    files: [`${OPS}/linear-attention/reference/*.ts`],
    tests: ['formulas', 'extremes'].map(test => `${OPS}/linear-attention/${test}.test.ts`),
    loops: true,
  },
  'recurrent-attention': {
    files: [`${OPS}/recurrent-attention/reference/*.ts`],
    tests: ['src/layers/attention/variants/recurrent.test.ts', 'src/endpoints/state.test.ts'],
    loops: true,
  },
  ops: {
    files: SMALL_OPS.map(family => `${OPS}/${family}/reference.ts`),
    tests: [
      ...['linear', 'norm'].map(family => `${OPS}/${family}/by-hand.test.ts`),
      ...['activation', 'elementwise', 'lsh', 'passes', 'qk-norm', 'rope'].map(
        family => `${OPS}/${family}/${family}.test.ts`,
      ),
    ],
    loops: true,
  },
  masks: {
    files: [
      `${OPS}/intervals/{op,kernel}.ts`,
      'src/layers/attention/masks/*.ts',
      'src/engine/memory-plan.ts',
    ],
    tests: [
      `${OPS}/intervals/*.test.ts`,
      'src/layers/shapes.test.ts',
      'src/layers/attention/masks/*.test.ts',
      'src/engine/memory-plan.test.ts',
    ],
  },
  formats: { files: ['src/formats/*.ts'], tests: ['src/formats/*.test.ts'] },
  'json-scan': {
    files: ['workers/text/json-scan.ts'],
    tests: ['workers/text/json-scan{,-cases}.test.ts', 'src/formats/*.test.ts'],
  },
}

const asked = process.argv.slice(2)
const unknown = asked.filter(name => !(name in GROUPS))
if (unknown.length > 0) throw new Error(`expected some of ${Object.keys(GROUPS).join(', ')}, got ${unknown}`)

/** As Stryker counts: what no test reaches has survived; what is static or not TypeScript does not count. */
function score(mutants: Mutants): string {
  const of = (...statuses: string[]) => mutants.filter(({ status }) => statuses.includes(status)).length
  const [killed, timeout, left] = [of('Killed'), of('Timeout'), of('Survived', 'NoCoverage')]
  const percent = (100 * (killed + timeout)) / (killed + timeout + left)
  return `${killed} | ${timeout} | ${left} | ${percent.toFixed(1)}`
}

const lines: string[] = []
for (const name of asked.length > 0 ? asked : Object.keys(GROUPS)) {
  const { files, tests, loops } = GROUPS[name]
  const results = await new Stryker({
    mutate: [...files, '!**/*.test.ts'],
    testFiles: tests,
    mutator: { plugins: null, excludedMutations: loops ? ['UpdateOperator'] : [] },
    incrementalFile: `reports/mutation/${name}.json`,
    htmlReporter: { fileName: `reports/mutation/${name}.html` },
  }).runMutationTest()
  lines.push(`| **${name}** | ${score(results)} |`)
  for (const file of new Set(results.map(({ fileName }) => fileName))) {
    lines.push(
      `| \`${relative('.', file)}\` | ${score(results.filter(({ fileName }) => fileName === file))} |`,
    )
  }
}
process.stdout.write(
  `| file | killed | timed out | left | score |\n|---|---|---|---|---|\n${lines.join('\n')}\n`,
)
