/** What is installed to run the service: nothing of it needs a script to be run, and nothing of it tells anybody. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'

interface Entry {
  dev?: boolean
  devOptional?: boolean
  hasInstallScript?: boolean
}

const lock: { packages: Record<string, Entry> } = JSON.parse(
  readFileSync(new URL('../package-lock.json', import.meta.url), 'utf8'),
)
const { allowScripts }: { allowScripts: Record<string, boolean> } = JSON.parse(
  readFileSync(new URL('../package.json', import.meta.url), 'utf8'),
)
const installed = Object.entries(lock.packages).filter(([path]) => path !== '')
const production = installed.filter(([, { dev, devOptional }]) => !dev && !devOptional)

/** Their scripts only make them faster or warn: `allowScripts` of package.json forbids them, and all tests pass without. */
const SCRIPTS_NOT_RUN = ['node_modules/msgpackr-extract', 'node_modules/protobufjs']

it('no package of the production tree needs the script that it has for its installation', () => {
  expect(production.length).toBeGreaterThan(50)
  const found = production.filter(([, { hasInstallScript }]) => hasInstallScript).map(([path]) => path)
  expect(found).toEqual(SCRIPTS_NOT_RUN)
  for (const path of found) expect(allowScripts[path.replace('node_modules/', '')], path).toBe(false)
})

it('nothing of the production tree tells anybody of its own accord', () => {
  expect(production.filter(([path]) => path.includes('@scarf/'))).toEqual([])
  // what sends traces is loaded where somebody asks for them, and only there
  const loading = sourcesBelow('src').filter(file =>
    readFileSync(file, 'utf8').includes("'@opentelemetry/sdk-node'"),
  )
  expect(loading).toEqual([join('src', 'http', 'telemetry', 'index.ts')])
})

function sourcesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter(name => name.endsWith('.ts'))
    .map(name => join(folder, name))
}
