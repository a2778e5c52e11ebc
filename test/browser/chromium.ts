/**
 * A real Chromium for a test file, from npm alone. It is unpacked once into node_modules/.cache, and brings the few libraries
 * it needs for machines that lack them.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import packed from '@sparticuz/chromium'
import { type Browser, chromium } from 'playwright-core'
import { afterAll } from 'vitest'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const CACHE = join(ROOT, 'node_modules/.cache')
const PACKAGE = join(ROOT, 'node_modules/@sparticuz/chromium/package.json')
const HOME = join(CACHE, `chromium-${JSON.parse(readFileSync(PACKAGE, 'utf8')).version}`)

const UNPACK = "import packed from '@sparticuz/chromium'; await packed.executablePath()"

/** The package unpacks into the folder for temporary files, and its libraries too where it believes to be on AWS Lambda. */
function unpack(): void {
  mkdirSync(CACHE, { recursive: true })
  const part = mkdtempSync(join(CACHE, 'part-'))
  const env = { ...process.env, TMPDIR: part, AWS_EXECUTION_ENV: 'AWS_Lambda_nodejs22.x' }
  execFileSync(process.execPath, ['--input-type=module', '-e', UNPACK], { cwd: ROOT, env })
  try {
    renameSync(part, HOME)
  } catch (error) {
    rmSync(part, { recursive: true, force: true })
    // another test file may have been quicker
    if (!existsSync(HOME)) throw error
  }
}

/** Flags that fit a serverless machine and not a test: this browser is to be as strict as a reader's. */
const UNWANTED = /^--(single-process|disable-web-security|allow-running-insecure-content)/

export async function launchBrowser(): Promise<Browser> {
  if (!existsSync(HOME)) unpack()
  const executablePath = join(HOME, 'chromium')
  const missing = execFileSync('ldd', [executablePath], { encoding: 'utf8' }).includes('not found')
  const browser = await chromium.launch({
    executablePath,
    args: packed.args.filter(flag => !UNWANTED.test(flag)),
    env: { ...process.env, ...(missing && { LD_LIBRARY_PATH: join(HOME, 'al2023/lib') }) },
  })
  afterAll(() => browser.close())
  return browser
}
