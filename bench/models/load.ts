/** How long a model of GPT-2 small's size takes to load, and what the event loop and small requests notice of it. */
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { percentile, table } from '../report.ts'
import { startService } from '../service.ts'

const ROUNDS = 3
const SMALL = { shape: [1, 1, 8, 16], pauseMs: 5 }
/** Between two looks at how far it is. */
const LOOK_MS = 20

export async function benchLoad(folder: string): Promise<void> {
  const rows: string[][] = []
  for (let round = 0; round < ROUNDS; round++) {
    // a new process each time: a loaded model stays loaded
    const server = await startService('./monitored.ts', { MODELS_DIR: folder })
    const stream = new Worker(new URL('../small-stream.ts', import.meta.url), {
      workerData: { url: server.url, ...SMALL },
    })
    await new Promise(resolve => setTimeout(resolve, 1000))
    let seconds = 0
    let looks = new Set<number>()
    const delay = await server.loopDelay(async () => {
      const begin = performance.now()
      const loading = fetch(`${server.url}/v1/models/gpt2/forward`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ token_ids: [[1]], return: [] }),
      })
      looks = await watch(server.url, loading)
      seconds = (performance.now() - begin) / 1000
    })
    const told = once(stream, 'message')
    stream.postMessage('stop')
    const [small] = await told
    const { now, most } = server.memory()
    server.stop()
    const held = [delay.p50, delay.p99, delay.longest, delay.cpuP99, delay.cpuLongest]
    rows.push([
      `run ${round + 1}`,
      seconds.toFixed(2),
      String(looks.size),
      ...held.map(ms => ms.toFixed(1)),
      ...[50, 99].map(rank => percentile(small, rank).toFixed(1)),
      now.toFixed(0),
      most.toFixed(0),
    ])
  }
  const loop = ['loop held, p50 ms', 'p99', 'longest', 'of CPU time, p99', 'longest']
  const head = ['a load of 498 MB', 's', 'steps of progress seen', ...loop, 'small request, p50 ms', 'p99']
  console.log(table([...head, 'MB resident', 'most'], rows))
}

/** The different amounts that the model's resource says have been loaded, until the answer is there. */
async function watch(url: string, loading: Promise<Response>): Promise<Set<number>> {
  const seen = new Set<number>()
  let done = false
  const answered = loading.then(response => {
    done = true
    if (response.status !== 200) throw new Error(`${response.status} while it loaded`)
  })
  while (!done) {
    const told = (await (await fetch(`${url}/v1/models/gpt2`)).json()) as { loading?: { done: number } }
    if (told.loading !== undefined) seen.add(told.loading.done)
    await new Promise(resolve => setTimeout(resolve, LOOK_MS))
  }
  await answered
  return seen
}
