/**
 * Runs the service while one works on it: `npm run dev`. The page comes from Vite, which reloads it when its sources change
 * and passes `/v1` on to the service; the service starts anew when a file of src/ or workers/ changes, after a new build of
 * the kernels where the change is one of theirs.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { watch } from 'node:fs'
import { sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createServer } from 'vite'

const ROOT = fileURLToPath(new URL('../', import.meta.url))
/** Editors write a file in several steps, and formatters several files at a time. */
const SETTLE_MS = 150
/** A service that is still busy with a request is not waited for any longer. */
const STOP_MS = 2000

let service: ChildProcess | undefined
let stale = false
let kernelsStale = false
let turning = false
let timer: NodeJS.Timeout | undefined

function run(script: string): ChildProcess {
  return spawn(process.execPath, [script], { cwd: ROOT, stdio: 'inherit' })
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  const late = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
  await exited
  clearTimeout(late)
}

/** One at a time; what changes meanwhile is taken up by a further round. */
async function restart(): Promise<void> {
  if (turning) return
  turning = true
  while (stale) {
    stale = false
    if (kernelsStale) {
      kernelsStale = false
      const [code] = await once(run('scripts/build-kernels.ts'), 'exit')
      // the compiler has said what is wrong: the service of before goes on until that is mended
      if (code !== 0) continue
    }
    if (service !== undefined) await stop(service)
    service = run('src/main.ts')
  }
  turning = false
}

function changed(name: string): void {
  if (!name.endsWith('.ts') || name.endsWith('.test.ts')) return
  stale = true
  kernelsStale ||= name.split(sep).includes('assembly')
  clearTimeout(timer)
  timer = setTimeout(restart, SETTLE_MS)
}

for (const folder of ['src', 'workers']) {
  watch(`${ROOT}${folder}`, { recursive: true }, (_event, name) => changed(String(name)))
}

const page = await createServer({
  configFile: fileURLToPath(new URL('../web/vite.config.ts', import.meta.url)),
  logLevel: 'info',
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, async () => {
    await Promise.all([page.close(), service && stop(service)])
    process.exit(0)
  })
}
stale = true
await restart()
await page.listen()
page.printUrls()
