/** Two checkouts of the service as they start, in turns: how long until they are ready, and what memory they have then. `npm run bench -- startup ../other`. */
import { fileURLToPath, pathToFileURL } from 'node:url'
import { median, table } from './report.ts'
import { startService } from './service.ts'

const ROUNDS = Number(process.env.ROUNDS ?? 8)
const SMALL = '{"q":[[1]],"k":[[1]],"v":[[1]]}'
const HERE = fileURLToPath(new URL('..', import.meta.url))

interface Start {
  ms: number
  megabytes: number
}

async function start(folder: string): Promise<Start> {
  const begun = performance.now()
  const file = new URL('src/main.ts', pathToFileURL(`${folder}/`)).href
  const service = await startService(file, { THREADS: '1', KERNELS: 'wide' })
  try {
    const ms = performance.now() - begun
    for (let count = 0; count < 50; count++) {
      const headers = { 'content-type': 'application/json' }
      await (
        await fetch(`${service.url}/v1/attention`, { method: 'POST', headers, body: SMALL })
      ).arrayBuffer()
    }
    return { ms, megabytes: service.memory().now }
  } finally {
    service.stop()
  }
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
