/** What is written about the service agrees with the service. */
import { readFileSync } from 'node:fs'
import { Parser } from '@asyncapi/parser'
import { describe, expect, it } from 'vitest'
import { SETTINGS, VERSION } from '../../src/config.ts'
import { asyncApiDocument } from '../../src/http/docs/asyncapi.ts'
import { openApiDocument } from '../../src/http/docs/openapi.ts'
import { openApi30 } from '../../src/http/docs/openapi30.ts'
import { PROBLEMS } from '../../src/problem.ts'
import { startServer } from './server.ts'

const read = (name: string) => readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8')
const document = JSON.stringify(openApiDocument(VERSION))

describe('documents', () => {
  it.each(['README.md', 'README.ko.md'])('%s names every setting and the two commands', name => {
    const text = read(name)
    for (const { name: setting } of SETTINGS) expect(text).toContain(`\`${setting}\``)
    expect(text).toContain('npm ci && npm start')
    expect(text).toContain('npm ci && npm test')
  })

  it('the OpenAPI document names every problem', () => {
    for (const [code, { status }] of Object.entries(PROBLEMS)) {
      if (status !== 499) expect(document).toContain(`\`${code}\` (${status})`)
    }
  })

  it('the committed OpenAPI document is what the schemas say', () => {
    expect(JSON.parse(read('openapi/openapi.json'))).toEqual(JSON.parse(document))
  })

  it('the document in OpenAPI 3.0 is what the other says, and has nothing that came after 3.0', () => {
    const older = openApi30(openApiDocument(VERSION))
    expect(JSON.parse(read('openapi/openapi-3.0.json'))).toEqual(JSON.parse(JSON.stringify(older)))
    const { paths, components } = older as { paths: object; components: { schemas: object } }
    expect(Object.keys(paths)).toEqual(Object.keys(JSON.parse(document).paths))
    const text = JSON.stringify(components.schemas)
    for (const word of ['"const"', '"anyOf"', '"propertyNames"', '"contentEncoding"', '"type":"null"']) {
      expect(text).not.toContain(word)
    }
    expect(text).not.toMatch(/"type":\[|"exclusiveM(in|ax)imum":[^t]/)
    expect(JSON.stringify(paths)).not.toContain('safetensors"')
    const named = new Set(Object.keys(components.schemas))
    for (const [, name] of JSON.stringify(older).matchAll(/#\/components\/schemas\/(\w+)/g)) {
      expect(named.has(name), name).toBe(true)
    }
  })

  it('the committed AsyncAPI document is what the schemas say, and valid', async () => {
    const text = read('openapi/asyncapi.json')
    expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(asyncApiDocument(VERSION))))
    const faults = await new Parser().validate(text)
    expect(faults.filter(({ severity }) => severity <= 1)).toEqual([])
  })

  it('the committed ones are served', async () => {
    const { url } = await startServer()
    for (const name of ['openapi.json', 'openapi-3.0.json', 'asyncapi.json']) {
      const response = await fetch(`${url}/${name}`)
      expect(response.headers.get('content-type')).toMatch(/^application\/json/)
      expect(await response.json(), name).toEqual(JSON.parse(read(`openapi/${name}`)))
    }
  })

  it('the changelog has this version', () => {
    expect(read('CHANGELOG.md')).toContain(`## ${VERSION}`)
  })
})
