/** SECURITY.md names a test for each control: the files are there, and have what is quoted of them. */
import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const read = (name: string) => readFileSync(fileURLToPath(new URL(`../${name}`, import.meta.url)), 'utf8')
const text = read('SECURITY.md')

/** Of a line of a table: files of tests, each with the parts of titles that follow it. */
function named(line: string): { file: string; titles: string[] }[] {
  const found: { file: string; titles: string[] }[] = []
  for (const [, file, title] of line.matchAll(/`((?:test|src|workers)\/[^`]+)`|"([^"]+)"/g)) {
    if (file !== undefined) found.push({ file, titles: [] })
    else found.at(-1)?.titles.push(title as string)
  }
  return found
}

const lines = text
  .split('\n')
  .filter(line => line.startsWith('| ') && line.includes('`test/') && !line.includes('---'))
const tests = lines.flatMap(named).filter(({ file }) => !file.endsWith('/'))

describe('SECURITY.md', () => {
  it('names tests', () => {
    expect(lines.length).toBeGreaterThan(40)
    expect(tests.length).toBeGreaterThan(50)
  })

  it.each([...new Set(tests.map(({ file }) => file))])('%s is there', file => {
    expect(existsSync(fileURLToPath(new URL(`../${file}`, import.meta.url)))).toBe(true)
  })

  it.each(tests.flatMap(({ file, titles }) => titles.map(title => [file, title])))(
    '%s has a test "%s"',
    (file, title) => {
      expect(read(file as string)).toContain(title)
    },
  )

  it('has a control in every line of its tables of controls', () => {
    const [, controls = ''] = text.split('## Controls')
    const rows =
      controls
        .split('## Known gaps')[0]
        ?.split('\n')
        .filter(line => /^\| [^-]/.test(line)) ?? []
    const unnamed = rows.filter(
      row => !/^\| (control|risk|API\d+)\b/.test(row) && !/`(test|src|workers)\//.test(row),
    )
    expect(unnamed).toEqual([])
  })
})

describe('the OWASP API Security Top 10', () => {
  const owasp = read('test/service/protection/owasp.test.ts')
  it.each([
    'API1, broken object level authorization',
    'API2, broken authentication',
    'API3, broken object property level authorization',
    'API4, unrestricted resource consumption',
    'API5, broken function level authorization',
    'API6, unrestricted access to sensitive business flows',
    'API7, server side request forgery',
    'API8, security misconfiguration',
    'API9, improper inventory management',
    'API10, unsafe consumption of APIs',
  ])('%s has a test, which SECURITY.md names', title => {
    expect(owasp).toContain(`'${title}`)
    expect(text).toContain(title)
  })
})
