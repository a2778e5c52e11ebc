/** A comparison as one page that needs nothing else: no script, no resource, its style within it. */
import { createHash } from 'node:crypto'
import type { CompareReport, TensorComparison } from './answer.ts'
import { errorLegend, errorMapSvg } from './error-maps.ts'
import { STYLE } from './report-style.ts'
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

/** The source of the page's style, for a content security policy: the page's own, and that of who serves it. */
export const STYLE_SOURCE = `'sha256-${createHash('sha256').update(STYLE).digest('base64')}'`

/** What the page may do where it is opened from a disk. */
const POLICY = `default-src 'none'; style-src ${STYLE_SOURCE}; base-uri 'none'; form-action 'none'`

export function reportAsHtml(report: CompareReport): string {
  const { verdict } = report
  const tensors = Object.entries(report.tensors)
  const failed = tensors.filter(([, tensor]) => tensor.verdict === 'fail')
  const title = `${verdict.toUpperCase()}: ${summary(report)}`
  const sections = [
    `<header><h1>${badge(verdict)}${text(summary(report))}</h1><p class="quiet">${text(ruleText(report))}</p></header>`,
    failed.length === 0 ? '' : section('Diagnosis', diagnosis(report)),
    section('Tensors', tensorTable(tensors)),
    section('Errors, head by head', errorMaps(tensors)),
    failed.length === 0 ? '' : section('Worst elements', failed.map(worstTable).join('')),
    conditioning(report),
  ]
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${text(title)}</title>
<style>${STYLE}</style>
</head>
<body>
<main>
${sections.filter(Boolean).join('\n')}
</main>
</body>
</html>
`
}

const ESCAPES: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

/** Names and sentences are the request's own: none of them is markup. */
function text(value: string): string {
  return value.replace(/[&<>"']/g, character => ESCAPES[character])
}

function section(title: string, content: string): string {
  return `<section><h2>${text(title)}</h2>${content}</section>`
}

function badge(verdict: string): string {
  return `<span class="badge ${verdict === 'pass' ? 'pass' : 'fail'}">${text(verdict.toUpperCase())}</span>`
}

function diagnosis(report: CompareReport): string {
  const { diagnosis: found = [], not_tried: left = [] } = report
  const items = found.map(({ says, change, explains }) => {
    const how =
      change === null
        ? '<p class="quiet">No request can say it.</p>'
        : `<p class="quiet">The same call passes with this merge patch of its body:</p><pre><code>${text(JSON.stringify(change, undefined, 1))}</code></pre>`
    return `<li><p class="says">${text(says)}</p><p>${text(explainsText(explains))}</p>${how}</li>`
  })
  const nothing = unexplained(report)
  return [
    items.length === 0 ? '' : `<ol class="why">${items.join('')}</ol>`,
    nothing === undefined ? '' : `<p>${text(nothing)}</p>`,
    left.length === 0
      ? ''
      : `<details><summary>${left.length} not tried, for want of time</summary><ul>${left.map(says => `<li>${text(says)}</li>`).join('')}</ul></details>`,
  ].join('')
}

const COLUMNS: [string, (tensor: TensorComparison) => string][] = [
  ['max_abs', ({ max_abs: x }) => short(x)],
  ['allowed', ({ allowed }) => short(allowed)],
  ['ratio', ({ ratio }) => short(ratio)],
  ['max_rel', ({ max_rel: x }) => short(x)],
  ['max_ulp', ({ max_ulp: x }) => short(x)],
  ['rmse', ({ rmse }) => short(rmse)],
  ['cosine', ({ cosine }) => (cosine === null ? '-' : cosine.toFixed(6))],
  ['NaN', ({ nan }) => String(nan)],
  ['∞', ({ inf }) => String(inf)],
  ['mismatched', ({ mismatched }) => String(mismatched)],
  ['first bad row', ({ first_bad_row: row }) => (row === null ? '-' : indexText(row))],
]

function tensorTable(tensors: [string, TensorComparison][]): string {
  const rows = tensors.map(([name, tensor]) => {
    const cells = COLUMNS.map(([column, of]) => cell(column, of(tensor)))
    const verdict = `<td data-name="verdict">${badge(tensor.verdict)}</td>`
    return `<tr><th scope="row"><code>${text(name)}</code></th>${verdict}${cells.join('')}</tr>`
  })
  return tableOf(['tensor', 'verdict', ...COLUMNS.map(([name]) => name)], rows)
}

function cell(name: string, value: string): string {
  return `<td data-name="${text(name)}"><span class="n">${text(value)}</span></td>`
}

function tableOf(columns: string[], rows: string[]): string {
  const head = columns.map(name => `<th scope="col">${text(name)}</th>`).join('')
  return `<div class="wide" tabindex="0"><table class="cards"><thead><tr>${head}</tr></thead><tbody>${rows.join('')}</tbody></table></div>`
}

function errorMaps(tensors: [string, TensorComparison][]): string {
  const blocks = tensors.map(([name, { heads }]) => {
    const figures = heads.map(head => errorFigure(name, head))
    return `<h3><code>${text(name)}</code></h3><div class="maps">${figures.join('')}</div>`
  })
  const means =
    'Each block is a part of a head, rows downwards and the dimensions of a row to the right; its colour is its largest error, in multiples of what is allowed.'
  return `<p class="quiet">${means}</p>${errorLegend()}${blocks.join('')}`
}

function errorFigure(
  name: string,
  { index, max_abs: error, verdict, error_map: map }: TensorComparison['heads'][number],
): string {
  const head = index.length === 0 ? 'all' : indexText(index)
  const caption = `<span>head <span class="n">${head}</span></span><span class="${verdict}">${verdict} <span class="n">${text(short(error))}</span></span>`
  const label = `errors of ${text(name)}, head ${head}: ${verdict}, largest ${text(short(error))}`
  const drawing = map === undefined || map.length === 0 ? '' : errorMapSvg(map, label)
  return `<figure${verdict === 'fail' ? ' class="bad"' : ''}><figcaption>${caption}</figcaption>${drawing}</figure>`
}

function worstTable([name, { worst, mismatched }]: [string, TensorComparison]): string {
  const rows = worst.map(({ index, got, want, allowed }) => {
    const numbers = [cell('got', full(got)), cell('want', full(want)), cell('allowed', short(allowed))]
    return `<tr><th scope="row"><span class="n">${indexText(index)}</span></th>${numbers.join('')}</tr>`
  })
  const title = `<h3><code>${text(name)}</code> <span class="quiet">${mismatched} wrong</span></h3>`
  return title + (rows.length === 0 ? '' : tableOf(['index', 'got', 'want', 'allowed'], rows))
}

function conditioning(report: CompareReport): string {
  const said = conditioningText(report)
  if (said === undefined) return ''
  const meaning =
    'Large scores and rows whose two largest scores can hardly be told apart make any evaluation in a small dtype less exact; the baseline has the same difficulty.'
  return section('Conditioning', `<p>${text(said)}</p><p class="quiet">${meaning}</p>`)
}
