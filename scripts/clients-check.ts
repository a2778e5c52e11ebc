/**
 * Generates clients from the committed documents, compiles them, and calls a server with them: `npm run clients:check` those that are
 * quick to build, `npm run clients:check -- all` every one, or those that are named. A client is a folder of test/clients with a
 * `check.sh`; docs/CLIENTS.md says which document is for which generator.
 */
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startServer } from './own-server.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const CLIENTS = join(ROOT, 'test/clients')
/** Generators stay from one run to the next. */
const TOOLS = process.env.CLIENT_TOOLS ?? join(tmpdir(), 'attention-client-tools')
const QUICK = [
  'go-oapi-codegen',
  'go-stream',
  'python-openapi-python-client',
  'typescript-hey-api',
  'typescript-openapi-fetch',
  'typescript-orval',
]

const ALL = readdirSync(CLIENTS).filter(name => existsSync(join(CLIENTS, name, 'check.sh')))

function wanted(): string[] {
  const given = process.argv.slice(2)
  if (given.length === 0) return QUICK
  if (given.includes('all')) return ALL
  const unknown = given.filter(name => !ALL.includes(name))
  if (unknown.length > 0) throw new Error(`expected names of ${ALL.join(', ')}, got ${unknown.join(', ')}`)
  return given
}

function check(name: string, server: string, folder: string): boolean {
  cpSync(join(CLIENTS, name), folder, { recursive: true })
  const begin = performance.now()
  const { status, stdout, stderr } = spawnSync('bash', ['-euo', 'pipefail', 'check.sh'], {
    cwd: folder,
    encoding: 'utf8',
    timeout: 900_000,
    env: {
      ...process.env,
      SERVER: server,
      TOOLS,
      CLIENTS,
      EXAMPLES: join(ROOT, 'examples'),
      OPENAPI: join(ROOT, 'openapi/openapi.json'),
      OPENAPI30: join(ROOT, 'openapi/openapi-3.0.json'),
    },
  })
  const ok = status === 0 && /called\r?$/m.test(stdout)
  const seconds = ((performance.now() - begin) / 1000).toFixed(1).padStart(6)
  console.log(`${seconds} s  ${name}: ${ok ? 'generated, compiled, called' : 'failed'}`)
  if (!ok) console.log(`${stdout}\n${stderr}`.trim().slice(-4000))
  return ok
}

mkdirSync(TOOLS, { recursive: true })
const temporary = mkdtempSync(join(tmpdir(), 'attention-clients-'))
const { child, url } = await startServer()
try {
  const failed = wanted().filter(name => !check(name, url, join(temporary, name)))
  if (failed.length > 0) throw new Error(`failed: ${failed.join(', ')}`)
} finally {
  child.kill('SIGINT')
  rmSync(temporary, { recursive: true, force: true })
}
