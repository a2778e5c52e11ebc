/** Worked examples: in the OpenAPI document, on the interactive page, and executed by the tests. */
import { readFileSync } from 'node:fs'

export interface Example {
  path: string
  name: string
  summary: string
  request: unknown
  response: unknown
}

const FILE = new URL('../../../openapi/examples.json', import.meta.url)

export const EXAMPLES: Example[] = JSON.parse(readFileSync(FILE, 'utf8'))
