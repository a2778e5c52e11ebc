/** Two checkouts of the service as they start, in turns: how long until they are ready, and what memory they have then. `npm run bench -- startup ../other`. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { median, table } from './report.ts'

const ROUNDS = Number(process.env.ROUNDS ?? 8)
const SMALL = '{"q":[[1]],"k":[[1]],"v":[[1]]}'
const HERE = fileURLToPath(new URL('..', import.meta.url))

interface Start {
  ms: number
  megabytes: number
}

async function start(folder: string): Promise<Start> {
  const begun = performance.now()
  const env = { ...process.env, PORT: '0', THREADS: '1', KERNELS: 'wide', SHUTDOWN_DELAY_SECONDS: '0' }
  const child = spawn(process.execPath, ['src/main.ts'], {
    cwd: folder,
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  try {
    const url = await addressOf(child)
    const ms = performance.now() - begun
    for (let count = 0; count < 50; count++) {
      const headers = { 'content-type': 'application/json' }
      await (await fetch(`${url}/v1/attention`, { method: 'POST', headers, body: SMALL })).arrayBuffer()
    }
    const [, kilobytes] = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${child.pid}/status`, 'utf8')) ?? []
    return { ms, megabytes: Number(kilobytes) / 1024 }
  } finally {
    const gone = once(child, 'exit')
    child.kill('SIGTERM')
    await gone
  }
}

async function addressOf({ stdout }: ChildProcess): Promise<string> {
  let log = ''
  for await (const text of stdout as AsyncIterable<Buffer>) {
    log += text
    const [url] = log.match(/http:\/\/127\.0\.0\.1:\d+/) ?? []
    if (url === undefined) continue
    stdout?.resume()
    return url
  }
  throw new Error(`no server: ${log}`)
}

/** Linux alone says what memory another process has. */
export async function benchStartup(other: string, here = HERE): Promise<void> {
  const folders = [here, other]
  const starts: Start[][] = folders.map(() => [])
  // the first start of each reads its files into the cache
  for (const folder of folders) await start(folder)
  for (let round = 0; round < ROUNDS; round++) {
    const order = round % 2 === 0 ? [0, 1] : [1, 0]
    for (const which of order) starts[which].push(await start(folders[which]))
  }
  const row = (name: string, of: (start: Start) => number) => {
    const [mine, theirs] = starts.map(each => each.map(of))
    const ratios = mine.map((value, round) => value / theirs[round])
    return [
      name,
      median(mine).toFixed(0),
      median(theirs).toFixed(0),
      median(ratios).toFixed(3),
      Math.min(...mine).toFixed(0),
      Math.min(...theirs).toFixed(0),
    ]
  }
  console.log(
    table(
      ['', 'here', 'there', 'ratio, median of pairs', 'least here', 'least there'],
      [
        row('start to listening, ms', ({ ms }) => ms),
        row('memory after 50 small requests, MB', ({ megabytes }) => megabytes),
      ],
    ),
  )
}
