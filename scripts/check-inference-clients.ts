/**
 * Runs tritonclient and the KServe SDK, unmodified, against this server: `npm run oip:check`. They are installed into a Python
 * environment in a temporary folder; CLIENTS_PYTHON names an interpreter that has them already.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../', import.meta.url))
const PROGRAMS = ['test/oip/triton_client.py', 'test/oip/kserve_sdk.py']
const REQUIREMENTS = join(ROOT, 'test/oip/requirements.txt')

async function run(command: string, ...args: string[]): Promise<void> {
  const child = spawn(command, args, { cwd: ROOT, stdio: 'inherit' })
  const [code] = await once(child, 'exit')
  if (code !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${code}`)
}

/** uv installs in seconds what pip takes minutes for; where it cannot, pip does. */
async function install(folder: string): Promise<string> {
  await run('python3', '-m', 'venv', folder)
  const python = join(folder, 'bin/python')
  const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check']
  try {
    await run(python, ...pip, 'uv')
    await run(join(folder, 'bin/uv'), 'pip', 'install', '--quiet', '--python', python, '-r', REQUIREMENTS)
  } catch {
    await run(python, ...pip, '-r', REQUIREMENTS)
  }
  return python
}

/** Its address, once it listens. */
async function listening(server: ChildProcess): Promise<string> {
  if (server.stdout === null) throw new Error('no output')
  for await (const line of createInterface(server.stdout)) {
    const address = /listening at http:\/\/([^"]+)/.exec(line)?.[1]
    if (address !== undefined) return address
  }
  throw new Error('the server ended before it listened')
}

const folder = mkdtempSync(join(tmpdir(), 'inference-clients-'))
const MODELS_DIR = join(ROOT, 'test/fixtures/models')
const env = { ...process.env, PORT: '0', LOG_LEVEL: 'info', SHUTDOWN_DELAY_SECONDS: '0', MODELS_DIR }
const server = spawn(process.execPath, ['src/main.ts'], {
  cwd: ROOT,
  env,
  stdio: ['ignore', 'pipe', 'inherit'],
})
try {
  const [address, python] = await Promise.all([
    listening(server),
    process.env.CLIENTS_PYTHON ?? install(folder),
  ])
  server.stdout?.resume()
  for (const program of PROGRAMS) await run(python, program, address)
} finally {
  server.kill('SIGTERM')
  rmSync(folder, { recursive: true, force: true })
}
