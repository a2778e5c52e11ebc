import Fastify, { type FastifyInstance } from 'fastify'
import { expect, it } from 'vitest'
import { outerPath } from './outer-path.ts'

async function pathsOf(app: FastifyInstance, url: string, forwarded?: string | string[]): Promise<string> {
  const headers = forwarded === undefined ? {} : { 'x-forwarded-prefix': forwarded as string }
  return (await app.inject({ url, headers })).body
}

async function below(...prefixes: string[]): Promise<FastifyInstance> {
  const app = Fastify({ routerOptions: { ignoreDuplicateSlashes: true } })
  for (const prefix of prefixes) {
    await app.register(
      async scope => void scope.get('/v1/jobs/:id', async request => outerPath(request, '/v1/jobs')),
      { prefix },
    )
  }
  return app
}

it('is the path itself, or below the prefix of a host, as it was asked for', async () => {
  const app = await below('', '/a/b', '/of/:tenant')
  for (const [url, expected] of [
    ['/v1/jobs/1?x=/a/b', '/v1/jobs'],
    ['/a/b/v1/jobs/1', '/a/b/v1/jobs'],
    ['//a//b/v1/jobs/1', '/a/b/v1/jobs'],
    ['/of/some%20body/v1/jobs/1', '/of/some%20body/v1/jobs'],
  ]) {
    expect([url, await pathsOf(app, url)]).toEqual([url, expected])
  }
})

it('is below the prefix of a proxy that sends a plain one, before that of a host', async () => {
  const app = await below('', '/a')
  for (const prefix of ['/attention', '/a/b-c.d', '/.well-known/x_~1']) {
    expect(await pathsOf(app, '/v1/jobs/1', prefix)).toBe(`${prefix}/v1/jobs`)
    expect(await pathsOf(app, '/a/v1/jobs/1', prefix)).toBe(`${prefix}/a/v1/jobs`)
  }
})

it('takes nothing else for a prefix', async () => {
  const app = await below('')
  const wrong = ['', '/', 'a', '/a/', '//evil.example', '/a//b', '/..', '/a/./b', '/a, /b', '/a?b', '/a%2f']
  for (const prefix of [...wrong, 'https://evil.example', '/a b', '/a#b', '/a"', ['/a', '/b']]) {
    expect([prefix, await pathsOf(app, '/v1/jobs/1', prefix)]).toEqual([prefix, '/v1/jobs'])
  }
})
