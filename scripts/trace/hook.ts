/**
 * Records every entry of a function of src/ and workers/, in all threads: `node --import ./scripts/trace/hook.ts
 * src/main.ts`, started by `scripts/trace.ts`, which says over the process's channel when to record and when to
 * report. As a file is loaded, a call is written at the beginning of each of its functions.
 */
import { readdirSync } from 'node:fs'
import { registerHooks } from 'node:module'
import { fileURLToPath } from 'node:url'
import { getEnvironmentData, isMainThread, setEnvironmentData, threadId } from 'node:worker_threads'
import { insertCalls } from './insert-calls.ts'

export interface Entry {
  /** relative to the root of the repository */
  file: string
  line: number
  /** 0 is the main thread */
  thread: number
}

export type Order = 'record' | 'report'
export type Report = 'recording' | { entries: Entry[]; lost: number }

const ROOT = new URL('../../', import.meta.url)
const CALL = '__traceEntered'
const BUFFER = 'trace'

/** Words of the shared buffer: whether to record, how many entries there were, then three words for each entry. */
const RECORDING = 0
const COUNT = 1
const HEAD = 2
const ENTRY = 3
const CAPACITY = 1_000_000

const STILL_MS = 100

/** Sorted, so that a file has the same number in every thread. */
const files = ['src', 'workers'].flatMap(listFiles).sort()
const numbers = new Map(files.map((file, number) => [new URL(file, ROOT).href, number]))
const words = new Int32Array(sharedBuffer())

Object.defineProperty(globalThis, CALL, { value: enter })

registerHooks({
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context)
    const file = numbers.get(url)
    if (file === undefined || !loaded.source) return loaded
    const text = typeof loaded.source === 'string' ? loaded.source : new TextDecoder().decode(loaded.source)
    return { ...loaded, source: insertCalls(text, line => `${CALL}(${file}, ${line})`) }
  },
})

if (isMainThread && process.send) {
  process.on('message', (order: Order) => void obey(order))
  process.on('disconnect', () => process.exit())
}

function listFiles(folder: string): string[] {
  return readdirSync(fileURLToPath(new URL(folder, ROOT)), { recursive: true, encoding: 'utf8' })
    .map(name => `${folder}/${name.replaceAll('\\', '/')}`)
    .filter(name => name.endsWith('.ts') && !name.endsWith('.d.ts') && !name.includes('/assembly/'))
}

/** Workers take over what the main thread has set before they start. */
function sharedBuffer(): SharedArrayBuffer {
  const given = getEnvironmentData(BUFFER)
  if (given instanceof SharedArrayBuffer) return given
  const buffer = new SharedArrayBuffer(4 * (HEAD + ENTRY * CAPACITY))
  setEnvironmentData(BUFFER, buffer)
  return buffer
}

function enter(file: number, line: number): void {
  if (Atomics.load(words, RECORDING) === 0) return
  const entry = Atomics.add(words, COUNT, 1)
  if (entry < CAPACITY) words.set([isMainThread ? 0 : threadId, file, line], HEAD + ENTRY * entry)
}

async function obey(order: Order): Promise<void> {
  if (order === 'record') {
    words[COUNT] = 0
    Atomics.store(words, RECORDING, 1)
    tell('recording')
  } else {
    await stillness()
    Atomics.store(words, RECORDING, 0)
    const count = Math.min(words[COUNT], CAPACITY)
    tell({ entries: Array.from({ length: count }, (_, entry) => entryAt(entry)), lost: words[COUNT] - count })
  }
}

/** What ends a request comes after its answer: its memory is given back, its log line is written. */
async function stillness(): Promise<void> {
  for (let before = -1; before !== words[COUNT]; ) {
    before = words[COUNT]
    await new Promise(resolve => setTimeout(resolve, STILL_MS))
  }
}

function entryAt(entry: number): Entry {
  const [thread, file, line] = words.subarray(HEAD + ENTRY * entry)
  return { file: files[file], line, thread }
}

function tell(report: Report): void {
  process.send?.(report)
}
