/** Small requests beside whatever a part does to a server. */
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'

export interface Watched {
  /** milliseconds of those that were answered with 200 */
  times: number[]
  statuses: Record<string, number>
}

/** What is returned ends it. */
export function watchSmall(port: number, everyMs = 20): () => Promise<Watched> {
  const worker = new Worker(new URL('./probe.ts', import.meta.url), { workerData: { port, everyMs } })
  return async () => {
    worker.postMessage('stop')
    const [told] = await once(worker, 'message')
    await worker.terminate()
    return told as Watched
  }
}
