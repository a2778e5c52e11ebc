/** The way of a small request through our files stays short: what `npm run trace` says of it is held here. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'
import { insertCalls } from '../scripts/trace/insert-calls.ts'
import type { Trace } from '../scripts/trace/summary.ts'

/** Of an attention of 3×4, forward and backward: on the main thread, and files of both threads. May be lowered, never raised. */
const BUDGET = { mainFiles: 45, files: 53, folderChanges: 40 }

const SCRIPT = fileURLToPath(new URL('../scripts/trace.ts', import.meta.url))

test('a small attention, forward and backward, keeps to its budget of files and folder changes', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [SCRIPT, '--json'])
  const trace: Trace = JSON.parse(stdout)
  expect(trace).toMatchObject({ request: 'POST /v1/attention', status: 200 })
  // both sides were seen
  expect(trace.main.files.map(({ name }) => name)).toContain('src/http/rest.ts')
  expect(trace.workers.files.map(({ name }) => name)).toContain('workers/main.ts')
  expect(trace.main.files.length).toBeLessThanOrEqual(BUDGET.mainFiles)
  expect(trace.files).toBeLessThanOrEqual(BUDGET.files)
  expect(trace.folderChanges).toBeLessThanOrEqual(BUDGET.folderChanges)
})

test('every kind of function is seen', () => {
  const source = `
declare function declared(): void
function plain() { return 1 }
const expression = function () { return 1 }
const block = () => { return 1 }
const nested = (a: number) => (b: number) => ({ sum: a + b })
function* generator() { yield 1 }
abstract class A extends B {
  abstract none(): void
  constructor() { super() }
  get value() { return 1 }
  #method(): number { return 1 }
}
`
  expect(insertCalls(source, line => `f(${line})`)).toBe(`
declare function declared(): void
function plain() {f(3); return 1 }
const expression = function () {f(4); return 1 }
const block = () => {f(5); return 1 }
const nested = (a: number) => (f(6), (b: number) => ((f(6), { sum: a + b })))
function* generator() {f(7); yield 1 }
abstract class A extends B {
  abstract none(): void
  constructor() {f(10); super() }
  get value() {f(11); return 1 }
  #method(): number {f(12); return 1 }
}
`)
})
