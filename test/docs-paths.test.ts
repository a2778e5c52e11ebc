/** What the documents link to is there, and so are the files that they name in `code`. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const FOLDERS = ['.github', 'src', 'workers', 'docs', 'deploy', 'bench', 'examples', 'scripts', 'web']

const DOCUMENTS = [
  ...readdirSync(ROOT),
  ...FOLDERS.flatMap(folder =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' }).map(name => `${folder}/${name}`),
  ),
]
  .map(name => name.replaceAll('\\', '/'))
  .filter(name => name.endsWith('.md') && !name.includes('node_modules/'))

/** A file or folder, named from the root: the first folder tells it from a fraction or a field. */
const PATH =
  /`((?:\.github|src|workers|test|web|docs|deploy|bench|scripts|examples|openapi)\/[\w./-]*|[\w-]+\.(?:md|json|yaml|yml))`/g

/** The mask that CONTRIBUTING.md tells how to add. */
const NOT_THERE_YET = new Set(['src/layers/attention/masks/chunk.ts'])

function isThere(path: string, document: string): boolean {
  const beside = join(ROOT, dirname(document), path)
  return existsSync(beside) || existsSync(join(ROOT, path))
}

it('finds the documents', () => {
  expect(DOCUMENTS).toEqual(
    expect.arrayContaining(['README.md', 'docs/adr/README.md', 'workers/ops/README.md']),
  )
})

it.each(DOCUMENTS)('%s links to what is there', document => {
  const text = readFileSync(join(ROOT, document), 'utf8')
  const links = [...text.matchAll(/\]\(([^)\s#]+)(?:#[^)]*)?\)/g)].map(([, target]) => target)
  const ours = links.filter(target => !/^[a-z]+:/.test(target))
  expect(ours.filter(target => !existsSync(join(ROOT, dirname(document), target)))).toEqual([])
})

it.each(DOCUMENTS)('%s names files that are there', document => {
  const named = [...readFileSync(join(ROOT, document), 'utf8').matchAll(PATH)].map(([, path]) => path)
  expect(named.filter(path => !isThere(path, document) && !NOT_THERE_YET.has(path))).toEqual([])
})
