/**
 * Calls a server with what openapi.json allows and with what it does not, by schemathesis with all of its checks:
 * `npm run schemathesis`, or with its own options behind `--` (`-n 200 --seed 7`).
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startServer } from './own-server.ts'

const FOLDER = fileURLToPath(new URL('../test/schemathesis/', import.meta.url))
const TOOLS = process.env.CLIENT_TOOLS ?? join(tmpdir(), 'attention-client-tools')
const python = join(TOOLS, 'schemathesis/bin')
/** One is in hooks.py with what the document says in words; DELETE of a job cancels it, and what became of it can be read. */
const EXCLUDED = 'negative_data_rejection,use_after_free'
const options = [
  '--checks',
  'all',
  '--exclude-checks',
  EXCLUDED,
  '--max-examples',
  '20',
  '--seed',
  '1',
  '--continue-on-failure',
  '--no-color',
]

/** It keeps what it found where it runs. */
const temporary = mkdtempSync(join(tmpdir(), 'schemathesis-'))

async function run(command: string, ...args: string[]): Promise<number> {
  const child = spawn(command, args, { cwd: temporary, stdio: 'inherit' })
  const [code] = await once(child, 'exit')
  return code ?? 1
}

if (!existsSync(join(python, 'schemathesis'))) {
  await run('python3', '-m', 'venv', join(TOOLS, 'schemathesis'))
  await run(join(python, 'pip'), 'install', '--quiet', 'schemathesis==4.32.5')
}
const { child, url } = await startServer({ MAX_FLOPS: '1e10', SHUTDOWN_DELAY_SECONDS: '0' })
try {
  const config = join(FOLDER, 'schemathesis.toml')
  const document = `${url}/openapi.json`
  const given = process.argv.slice(2)
  process.exitCode = await run(
    join(python, 'schemathesis'),
    '--config-file',
    config,
    'run',
    document,
    ...options,
    ...given,
  )
} finally {
  child.kill('SIGINT')
  rmSync(temporary, { recursive: true, force: true })
}
