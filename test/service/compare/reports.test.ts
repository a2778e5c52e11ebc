/** A comparison to read: the table that people paste into an issue, and the page. */
import { describe, expect, it } from 'vitest'
import { reportAsHtml } from '../../../src/endpoints/compare/report-html.ts'
import { reportAsText } from '../../../src/endpoints/compare/report-text.ts'
import { post, startServer } from '../server.ts'
import { kernel } from './kernel.ts'
import { draw } from './tensors.ts'

const server = await startServer()

const p = {
  q: draw(11, 1, 4, 9, 8),
  k: draw(12, 1, 2, 9, 8),
  v: draw(13, 1, 2, 9, 8),
  gradOutput: draw(14, 1, 4, 9, 8),
}
const { q, k, v, gradOutput } = p
const body = { q, k, v, causal: true, backward: { grad_output: gradOutput } }
/** It has forgotten the causal mask. */
const wrong = kernel(p)
const call = { endpoint: '/v1/attention', body, candidate: { output: wrong.output, grads: wrong.grads } }

async function read(accept: string, sent: object = call, more: Record<string, string> = {}) {
  const response = await fetch(`${server.url}/v1/compare`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept, ...more },
    body: JSON.stringify(sent),
  })
  return { response, text: await response.text() }
}

describe('what Accept asks for', () => {
  it('text/plain: a table with a line a tensor, the diagnosis, the worst elements', async () => {
    const { response, text } = await read('text/plain')
    expect([response.status, response.headers.get('content-type')]).toEqual([
      200,
      'text/plain; charset=utf-8',
    ])
    expect(text).toMatch(
      /^FAIL {2}\/v1\/attention, candidate in float32: 4 of 4 tensors are wrong\nrule: max\|/,
    )
    const lines = text.split('\n')
    const head = lines.findIndex(line => line.startsWith('tensor '))
    expect(lines[head]).toMatch(/max_abs +allowed +ratio .*mismatched +bad heads +first bad row$/)
    expect(lines.slice(head + 1, head + 5).map(line => line.split(/ +/).slice(0, 2))).toEqual([
      ['output', 'FAIL'],
      ['grads.q', 'FAIL'],
      ['grads.k', 'FAIL'],
      ['grads.v', 'FAIL'],
    ])
    expect(text).toMatch(/diagnosis\n {2}1\. The causal mask is not applied\.\n {5}explains everything/)
    expect(text).toContain('change of the body: {"causal":false}')
    expect(text).toMatch(/output: \d+ elements are wrong\n {2}heads that are wrong/)
    expect(text).toMatch(/\nconditioning: largest \|score\| /)
    for (const line of lines) expect(line).toBe(line.trimEnd())
  })

  it('text/html: one page that loads nothing, with an error map a head', async () => {
    const { response, text } = await read('text/html,application/xhtml+xml,*/*;q=0.8')
    expect(response.headers.get('content-type')).toBe('text/html; charset=utf-8')
    expect(response.headers.get('content-security-policy')).toMatch(/style-src 'sha256-/)
    expect(text).toMatch(/^<!doctype html>/)
    expect(text).not.toMatch(/<script|<link|<img|<iframe|src=|href=|url\(|@import| style=| on\w+=/)
    expect(text.match(/<figure/g)).toHaveLength(4 + 4 + 2 + 2)
    expect(text.match(/<svg/g)).toHaveLength(12)
    expect(text).toContain('The causal mask is not applied.')
  })

  it('data where it asks for data, or for nothing', async () => {
    for (const accept of ['*/*', 'application/json', 'application/json, text/html;q=0.9', 'text/css']) {
      const { response, text } = await read(accept)
      expect([accept, response.headers.get('content-type')]).toEqual([accept, 'application/json'])
      expect(JSON.parse(text).tensors.output.heads[0]).not.toHaveProperty('error_map')
    }
  })

  it('a problem is one in any form', async () => {
    const { response } = await read('text/html', { ...call, candidate: {} })
    expect([response.status, response.headers.get('content-type')]).toEqual([
      400,
      expect.stringContaining('application/problem+json'),
    ])
  })

  it('has a digest', async () => {
    const { response, text } = await read('text/plain', call, { 'want-repr-digest': 'sha-256=1' })
    const digest = Buffer.from(await crypto.subtle.digest('SHA-256', Buffer.from(text))).toString('base64')
    expect(response.headers.get('repr-digest')).toBe(`sha-256=:${digest}:`)
  })
})

const number = { verdict: 'pass', max_abs: 0, max_rel: 0, max_ulp: 0, rmse: 0, cosine: null } as const
const tensor = {
  ...number,
  ...{ baseline_max_abs: 0, ratio: null, allowed: 0, nan: 0, inf: 0, mismatched: 0 },
  worst: [],
  heads: [],
  first_bad_row: null,
}

describe('from the JSON answer alone', () => {
  it('the reports are the same', async () => {
    const { body: report } = await post(server, '/v1/compare', { ...call, error_maps: true })
    expect(reportAsText(report)).toBe((await read('text/plain')).text)
    expect(reportAsHtml(report)).toBe((await read('text/html')).text)
  })

  it('an error map has blocks in multiples of what is allowed', async () => {
    const data = [
      ...kernel({ ...p, mask: (s, _b, _h, i, j) => (j <= i ? s : Number.NEGATIVE_INFINITY) }).output.data,
    ]
    data[(1 * 9 + 5) * 8 + 3] = Number.NaN
    const candidate = { output: { shape: [1, 4, 9, 8], data: data.map(x => (Number.isNaN(x) ? 'NaN' : x)) } }
    const sent = { endpoint: '/v1/attention', body: { q, k, v, causal: true }, candidate, error_maps: true }
    const { heads } = (await post(server, '/v1/compare', sent)).body.tensors.output
    const [, { error_map: map }] = heads
    expect([map.length, map[0].length]).toEqual([9, 8])
    expect(map[5][3]).toBe('Infinity')
    for (const { error_map: blocks } of heads) {
      for (const error of blocks.flat()) expect(error === 'Infinity' || error <= 1).toBe(true)
    }
  })

  it('names are no markup, and a passing report says so', () => {
    const report = {
      verdict: 'pass' as const,
      endpoint: '/v1/transformer',
      candidate_dtype: 'float32',
      rule: { kind: 'tolerance' as const, rtol: 0.1, atol: 0 },
      tensors: { 'params.<b>&': tensor },
    }
    const page = reportAsHtml(report)
    expect(page).toContain('params.&lt;b&gt;&amp;')
    expect(page).not.toContain('<b>')
    expect(page).not.toContain('Diagnosis')
    expect(reportAsText(report)).toMatch(
      /^PASS {2}\/v1\/transformer, candidate in float32: 1 tensor within the rule\n/,
    )
  })

  it('says what was not tried', () => {
    const report = {
      verdict: 'fail' as const,
      endpoint: '/v1/attention',
      candidate_dtype: 'float32',
      rule: { kind: 'baseline' as const, factor: 2 },
      tensors: { output: { ...tensor, verdict: 'fail' as const, mismatched: 1 } },
      diagnosis: [],
      not_tried: ['The window is not applied.'],
    }
    expect(reportAsText(report)).toMatch(
      /None of the usual mistakes.*\n.*not tried.*\n {4}- The window is not applied\./,
    )
  })
})
