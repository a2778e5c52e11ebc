/**
 * Builds the page at `/` into web/dist: `node scripts/build-page.ts`. Does nothing when neither its sources nor what builds
 * them have changed since the last time.
 */
import { createHash } from 'node:crypto'
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const WEB = new URL('../web/', import.meta.url)
const DIST = new URL('dist/', WEB)
const STAMP = new URL('stamp.txt', DIST)
/** what the page reads outside its folder */
const LESSON = new URL('../models/lesson/lesson.json', import.meta.url)
const LOCK = new URL('../package-lock.json', import.meta.url)
/** the packages that make the page or stand in it */
const PACKAGES = ['vite', '@fontsource-variable/inter', '@fontsource-variable/noto-sans-kr']

function sourceNames(): string[] {
  const names = readdirSync(WEB, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => relative(fileURLToPath(WEB), join(entry.parentPath, entry.name)))
  return names.filter(name => !/^(dist|part-|node_modules)/.test(name)).sort()
}

function stampOfSources(): string {
  const hash = createHash('sha256')
  const { packages } = JSON.parse(readFileSync(LOCK, 'utf8'))
  hash.update(JSON.stringify(PACKAGES.map(name => packages[`node_modules/${name}`].version)))
  hash.update(readFileSync(LESSON))
  for (const name of sourceNames()) hash.update(`\0${name}\0`).update(readFileSync(new URL(name, WEB)))
  return hash.digest('hex')
}

/** Built beside the old page and put in its place at the end: builds may run side by side. */
async function buildPage(stamp: string): Promise<void> {
  const { build } = await import('vite')
  const part = new URL(`part-${process.pid}/`, WEB)
  try {
    const configFile = fileURLToPath(new URL('vite.config.ts', WEB))
    await build({ configFile, build: { outDir: fileURLToPath(part) } })
    writeFileSync(new URL('stamp.txt', part), stamp)
    replaceFolder(part)
  } finally {
    rmSync(part, { recursive: true, force: true })
  }
}

function replaceFolder(part: URL): void {
  const old = new URL(`part-old-${process.pid}/`, WEB)
  if (existsSync(DIST)) renameSync(DIST, old)
  try {
    renameSync(part, DIST)
  } catch {
    // another build was quicker to the place: its page is as good
    mkdirSync(DIST, { recursive: true })
    cpSync(part, DIST, { recursive: true })
  }
  rmSync(old, { recursive: true, force: true })
}

const stamp = stampOfSources()
if (existsSync(STAMP) && readFileSync(STAMP, 'utf8') === stamp) {
  console.log('page: up to date')
} else {
  const begin = performance.now()
  await buildPage(stamp)
  console.log(`page: built in ${((performance.now() - begin) / 1000).toFixed(1)} s`)
}
