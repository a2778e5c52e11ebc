/** A comparison as a table in plain text: what people paste into an issue. */
import type { CompareReport, TensorComparison } from './answer.ts'
import {
  conditioningText,
  explainsText,
  full,
  indexText,
  ruleText,
  short,
  summary,
  unexplained,
} from './report-words.ts'

const COLUMNS: [string, (tensor: TensorComparison) => string][] = [
  ['verdict', ({ verdict }) => verdict.toUpperCase()],
  ['max_abs', ({ max_abs: x }) => short(x)],
  ['allowed', ({ allowed }) => short(allowed)],
  ['ratio', ({ ratio }) => short(ratio)],
  ['max_rel', ({ max_rel: x }) => short(x)],
  ['max_ulp', ({ max_ulp: x }) => short(x)],
  ['rmse', ({ rmse }) => short(rmse)],
  ['nan', ({ nan }) => short(nan)],
  ['inf', ({ inf }) => short(inf)],
  ['mismatched', ({ mismatched }) => String(mismatched)],
  ['bad heads', ({ heads }) => `${badHeads(heads).length}/${heads.length}`],
  ['first bad row', ({ first_bad_row: row }) => (row === null ? '-' : indexText(row))],
]

/** Elements and heads that are listed of a tensor. */
const MOST_LISTED = 5

export function reportAsText(report: CompareReport): string {
  const tensors = Object.entries(report.tensors)
  const head = ['tensor', ...COLUMNS.map(([name]) => name)]
  const rows = tensors.map(([name, tensor]) => [name, ...COLUMNS.map(([, of]) => of(tensor))])
  const failed = tensors.filter(([, { verdict }]) => verdict === 'fail')
  const parts = [
    [`${report.verdict.toUpperCase()}  ${summary(report)}`, `rule: ${ruleText(report)}`],
    table([head, ...rows]),
    failed.length === 0 ? [] : diagnosisLines(report),
    ...failed.map(([name, tensor]) => worstLines(name, tensor)),
    [conditioningText(report)].flatMap(text => (text === undefined ? [] : [`conditioning: ${text}`])),
  ]
  return `${parts
    .filter(lines => lines.length > 0)
    .map(lines => lines.join('\n'))
    .join('\n\n')}\n`
}

function badHeads(heads: TensorComparison['heads']) {
  return heads.filter(({ verdict }) => verdict === 'fail')
}

/** Names to the left, numbers to the right. */
function table(rows: string[][]): string[] {
  const widths = rows[0].map((_, column) => Math.max(...rows.map(row => row[column].length)))
  return rows.map(row =>
    row
      .map((cell, column) => (column < 2 ? cell.padEnd(widths[column]) : cell.padStart(widths[column])))
      .join('  ')
      .trimEnd(),
  )
}

function diagnosisLines(report: CompareReport): string[] {
  const { diagnosis = [], not_tried: left = [] } = report
  const found = diagnosis.flatMap(({ says, change, explains }, place) => [
    `  ${place + 1}. ${says}`,
    `     ${explainsText(explains)}`,
    change === null ? '     no request can say it' : `     change of the body: ${JSON.stringify(change)}`,
  ])
  const nothing = unexplained(report)
  return [
    'diagnosis',
    ...found,
    ...(nothing === undefined ? [] : [`  ${nothing}`]),
    ...(left.length === 0 ? [] : ['  not tried, for want of time:', ...left.map(says => `    - ${says}`)]),
  ]
}

function worstLines(name: string, { worst, heads, mismatched }: TensorComparison): string[] {
  const rows = worst
    .slice(0, MOST_LISTED)
    .map(({ index, got, want, allowed }) => [
      `  ${indexText(index)}`,
      '',
      full(got),
      full(want),
      short(allowed),
    ])
  const bad = badHeads(heads)
  const shown = bad
    .slice(0, MOST_LISTED)
    .map(({ index, max_abs: error }) => `${indexText(index)} ${short(error)}`)
  const more = bad.length > shown.length ? `, and ${bad.length - shown.length} more` : ''
  const ofHeads = heads.length < 2 ? [] : [`  heads that are wrong (max_abs): ${shown.join(', ')}${more}`]
  const listed = rows.length === 0 ? [] : table([['  index', '', 'got', 'want', 'allowed'], ...rows])
  return [
    `${name}: ${mismatched} ${mismatched === 1 ? 'element is' : 'elements are'} wrong`,
    ...ofHeads,
    ...listed,
  ]
}
