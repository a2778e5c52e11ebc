/**
 * Writes openapi/openapi.json, openapi-3.0.json and asyncapi.json from the schemas, or with --check says whether the committed ones
 * are up to date, and whether the second is valid AsyncAPI (redocly looks after the first).
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { Parser } from '@asyncapi/parser'
import { VERSION } from '../src/config.ts'
import { asyncApiDocument } from '../src/http/docs/asyncapi.ts'
import { openApiDocument } from '../src/http/docs/openapi.ts'
import { openApi30 } from '../src/http/docs/openapi30.ts'

const document = openApiDocument(VERSION)
const DOCUMENTS = {
  'openapi.json': document,
  'openapi-3.0.json': openApi30(document),
  'asyncapi.json': asyncApiDocument(VERSION),
}

const check = process.argv.includes('--check')
for (const [name, content] of Object.entries(DOCUMENTS)) {
  const file = new URL(`../openapi/${name}`, import.meta.url)
  const text = `${JSON.stringify(content, null, 2)}\n`
  if (!check) {
    writeFileSync(file, text)
  } else if (readFileSync(file, 'utf8') !== text) {
    console.error(`openapi/${name} is not what the schemas say: run \`npm run openapi\` and commit it`)
    process.exitCode = 1
  }
}

if (check) {
  const faults = await new Parser().validate(JSON.stringify(DOCUMENTS['asyncapi.json']))
  for (const { severity, code, message, path } of faults) {
    if (severity > 1) continue
    console.error(`openapi/asyncapi.json: ${code} at /${path.join('/')}: ${message}`)
    process.exitCode = 1
  }
}
