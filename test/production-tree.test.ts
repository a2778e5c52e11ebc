/** What is installed to run the service: nothing of it runs a script on being installed, and nothing of it tells anybody. */
import { readFileSync } from 'node:fs'
import { expect, it } from 'vitest'

interface Entry {
  dev?: boolean
  devOptional?: boolean
  hasInstallScript?: boolean
}

const lock: { packages: Record<string, Entry> } = JSON.parse(
  readFileSync(new URL('../package-lock.json', import.meta.url), 'utf8'),
)
const installed = Object.entries(lock.packages).filter(([path]) => path !== '')
const production = installed.filter(([, { dev, devOptional }]) => !dev && !devOptional)

it('no package of the production tree has an install script', () => {
  expect(production.length).toBeGreaterThan(50)
  expect(production.filter(([, { hasInstallScript }]) => hasInstallScript).map(([path]) => path)).toEqual([])
})

it('no package of the production tree is there for telemetry', () => {
  // @opentelemetry/api is types and calls that do nothing where nobody has registered an exporter: prom-client takes them
  const found = production.map(([path]) => path).filter(path => /@scarf\/|telemetry/.test(path))
  expect(found).toEqual(['node_modules/@opentelemetry/api'])
})
