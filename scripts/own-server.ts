/** A server of this tree in a process of its own, for the checks that call one. */
import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url))

export async function startServer(
  settings: NodeJS.ProcessEnv = {},
): Promise<{ child: ChildProcess; url: string }> {
  const env = { ...process.env, PORT: '0', THREADS: '2', MEMORY_BYTES: String(512 << 20), LOG_LEVEL: 'info' }
  const child = spawn(process.execPath, [MAIN], {
    env: { ...env, ...settings },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const url = await new Promise<string>((resolve, reject) => {
    child.once('exit', code => reject(new Error(`the server ended with ${code}`)))
    let log = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      // what comes later is nobody's
      if (log.length < 1 << 20) log += text
      const [, found] = /listening at (http:[^"]+)/.exec(log) ?? []
      if (found !== undefined) resolve(found)
    })
  })
  child.removeAllListeners('exit')
  return { child, url }
}
