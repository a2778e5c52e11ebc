/** The glossary has every class of the engine, and names nothing in `code` that is a class no more. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const ENGINE = join(ROOT, 'src/engine')
const GLOSSARY = readFileSync(join(ROOT, 'docs/GLOSSARY.md'), 'utf8')

/** Whether a file of the service or of the compute side has the name as a word. */
function isUsed(name: string): boolean {
  const word = new RegExp(`\\b${name}\\b`)
  return SOURCES.some(text => word.test(text))
}

function sourcesBelow(folder: string): string[] {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('.ts') && !name.endsWith('.test.ts'))
    .map(name => readFileSync(join(ROOT, folder, name), 'utf8'))
}

const SOURCES = ['src', 'workers'].flatMap(sourcesBelow)

it('explains every class that the engine exports', () => {
  const classes = readdirSync(ENGINE)
    .filter(name => name.endsWith('.ts') && !name.endsWith('.test.ts'))
    .flatMap(name => [...readFileSync(join(ENGINE, name), 'utf8').matchAll(/^export class (\w+)/gm)])
    .map(([, name]) => name)
  expect(classes).toContain('Engine')
  expect(classes.filter(name => !GLOSSARY.includes(`\`${name}\``))).toEqual([])
})

it('names no type that the code has no more', () => {
  const terms = GLOSSARY.split('\n').filter(line => line.startsWith('|'))
  const types = terms.flatMap(line =>
    [...line.split('|')[1].matchAll(/`([A-Za-z]\w*)`/g)].map(([, name]) => name),
  )
  expect(types).toContain('Job')
  expect(types.filter(name => !isUsed(name))).toEqual([])
})
