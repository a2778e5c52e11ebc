/** Traces, metrics and logs of a server that is asked for them by OpenTelemetry's own variables. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import { afterAll, describe, expect, it } from 'vitest'
import { WebSocket } from 'ws'
import { wantsTelemetry } from '../../src/config.ts'
import { startReplica } from '../support/replica.ts'

interface Span {
  traceId: string
  spanId: string
  parentSpanId?: string
  name: string
  startTimeUnixNano: string
  endTimeUnixNano: string
  attributes: { key: string; value: { stringValue?: string } }[]
}

const spans: Span[] = []
const measured = new Set<string>()
const collector = createServer(async (request, response) => {
  let text = ''
  for await (const piece of request.setEncoding('utf8')) text += piece
  const { resourceSpans = [], resourceMetrics = [] } = JSON.parse(text)
  for (const { scopeSpans } of resourceSpans) for (const scope of scopeSpans) spans.push(...scope.spans)
  for (const { scopeMetrics } of resourceMetrics) {
    for (const { metrics } of scopeMetrics) for (const { name } of metrics) measured.add(name)
  }
  response.setHeader('content-type', 'application/json').end('{}')
})
await new Promise<void>(resolve => collector.listen(0, '127.0.0.1', resolve))
afterAll(() => void collector.close())
const at = collector.address()
if (at === null || typeof at === 'string') throw new Error('no port')

const { port, log } = await startReplica({
  OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${at.port}`,
  OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
  OTEL_METRICS_EXPORTER: 'otlp',
  OTEL_METRIC_EXPORT_INTERVAL: '200',
  OTEL_METRIC_EXPORT_TIMEOUT: '150',
  OTEL_BSP_SCHEDULE_DELAY: '50',
})
const url = `http://127.0.0.1:${port}`
const traceId = '4bf92f3577b34da6a3ce929d0e0e4736'
const traceparent = `00-${traceId}-00f067aa0ba902b7-01`
const STAGES = ['decode', 'parse', 'compile', 'admit', 'run', 'encode']

function post(body: string, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${url}/v1/attention`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body,
  })
}

async function spansOf(trace: string, wanted: string[]): Promise<Span[]> {
  const found = () => spans.filter(span => span.traceId === trace)
  await expect
    .poll(() => found().map(({ name }) => name), { timeout: 20_000 })
    .toEqual(expect.arrayContaining(wanted))
  return found()
}

describe('a request', () => {
  it('is a span with one for each stage, within the trace of its caller, who is told', async () => {
    const response = await post('{"q":[[1]],"k":[[1]],"v":[[1]]}', { traceparent })
    expect(response.status).toBe(200)
    const answered = response.headers.get('traceresponse')
    expect(answered).toMatch(new RegExp(`^00-${traceId}-[0-9a-f]{16}-01$`))

    const found = await spansOf(traceId, ['request', ...STAGES, 'worker compute'])
    const named = Object.fromEntries(found.map(span => [span.name, span]))
    expect(named.request).toMatchObject({ spanId: answered?.split('-')[2], parentSpanId: '00f067aa0ba902b7' })
    for (const stage of STAGES) expect(named[stage].parentSpanId, stage).toBe(named.request.spanId)
    expect(named['worker compute'].parentSpanId).toBe(named.run.spanId)
    for (const { startTimeUnixNano, endTimeUnixNano } of found) {
      expect(BigInt(endTimeUnixNano) >= BigInt(startTimeUnixNano)).toBe(true)
      expect(BigInt(startTimeUnixNano) >= BigInt(named.request.startTimeUnixNano) - 2_000_000n).toBe(true)
    }
    const line = log
      .join('')
      .split('\n')
      .find(each => each.includes(traceId))
    expect(JSON.parse(line ?? '{}')).toMatchObject({ msg: 'request', trace_id: traceId, status: 200 })
  })

  it('that is refused says why', async () => {
    const other = 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'
    const response = await post('{"q":1}', { traceparent: `00-${other}-00f067aa0ba902b7-01` })
    expect(response.status).toBe(400)
    const [request] = (await spansOf(other, ['request'])).filter(({ name }) => name === 'request')
    const code = request.attributes.find(({ key }) => key === 'attention.problem.code')
    expect(code?.value.stringValue).toBe('INVALID_REQUEST')
  })

  it('has a trace of its own where its caller has none, and health checks have none', async () => {
    const answered = (await post('{"q":[[1]],"k":[[1]],"v":[[1]]}')).headers.get('traceresponse')
    expect(answered).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/)
    expect((await fetch(`${url}/health/live`)).headers.get('traceresponse')).toBeNull()
  })
})

it('a run of a stream is a span within the trace that its start names', async () => {
  const own = 'bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb'
  const socket = new WebSocket(`ws://127.0.0.1:${port}/v1/stream`)
  await once(socket, 'open')
  const x = [
    [
      [1, 0, 0, 0],
      [0, 1, 0, 0],
    ],
  ]
  const stack = { layers: 2, d_model: 4, heads: 2, init: { seed: 1 } }
  socket.send(
    JSON.stringify({ type: 'start', id: 'a', stack, x, traceparent: `00-${own}-00f067aa0ba902b7-01` }),
  )
  const messages: Record<string, unknown>[] = []
  for await (const [data] of socketMessages(socket)) {
    messages.push(JSON.parse(String(data)))
    if (messages.at(-1)?.type === 'done') break
  }
  socket.close()
  const accepted = messages.find(({ type }) => type === 'accepted')
  expect(accepted?.traceresponse).toMatch(new RegExp(`^00-${own}-[0-9a-f]{16}-01$`))
  const names = (await spansOf(own, ['stream run', 'compile', 'admit', 'run', 'encode'])).map(
    ({ name }) => name,
  )
  expect(names.filter(name => name === 'worker compute').length).toBeGreaterThanOrEqual(2)
})

async function* socketMessages(socket: WebSocket): AsyncGenerator<[Buffer]> {
  for (;;) yield (await once(socket, 'message')) as [Buffer]
}

it('metrics go out, and those that are asked for in the open form name traces', async () => {
  await expect
    .poll(() => [...measured], { timeout: 20_000 })
    .toEqual(
      expect.arrayContaining(['http.server.request.duration', 'attention.phase.duration', 'attention.flops']),
    )
  const open = await fetch(`${url}/metrics`, { headers: { accept: 'application/openmetrics-text' } })
  const text = await open.text()
  expect(open.headers.get('content-type')).toContain('application/openmetrics-text')
  expect(text).toMatch(
    /attention_request_seconds_bucket\{[^}]*route="\/v1\/attention"[^}]*\} \d+ # \{trace_id="[0-9a-f]{32}"\}/,
  )
  expect(text).toContain('attention_requests_total{')
  expect(text.trimEnd().endsWith('# EOF')).toBe(true)
  const plain = await (await fetch(`${url}/metrics`)).text()
  expect(plain).not.toContain('trace_id')
})

it('is on where something is to be sent somewhere, and only there', () => {
  const on = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector' }
  expect(wantsTelemetry(on)).toBe(true)
  expect(wantsTelemetry({ OTEL_TRACES_EXPORTER: 'console' })).toBe(true)
  expect(wantsTelemetry({ ...on, OTEL_SDK_DISABLED: 'true' })).toBe(false)
  expect(wantsTelemetry({ ...on, OTEL_TRACES_EXPORTER: 'none', OTEL_METRICS_EXPORTER: 'none' })).toBe(false)
  expect(wantsTelemetry({ OTEL_SERVICE_NAME: 'x', OTEL_EXPORTER_OTLP_ENDPOINT: '' })).toBe(false)
})
