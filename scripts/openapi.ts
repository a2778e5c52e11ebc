/** Writes openapi/openapi.json from the schemas, or with --check says whether the committed one is up to date. */
import { readFileSync, writeFileSync } from 'node:fs'
import { VERSION } from '../src/plugins/docs.ts'
import { openApiDocument } from '../src/schemas/openapi.ts'

const file = new URL('../openapi/openapi.json', import.meta.url)
const text = `${JSON.stringify(openApiDocument(VERSION), null, 2)}\n`

if (!process.argv.includes('--check')) {
  writeFileSync(file, text)
} else if (readFileSync(file, 'utf8') !== text) {
  console.error('openapi/openapi.json is not what the schemas say: run `npm run openapi` and commit it')
  process.exit(1)
}
