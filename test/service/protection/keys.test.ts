/** `AUTH=keys`: who has none of the keys learns nothing, health stays open, and a change of the file is taken over. */
import { chmod, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { UsageError } from '../../../src/cli/command.ts'
import { keys } from '../../../src/cli/keys.ts'
import { readConfig } from '../../../src/config.ts'
import { attention, post, type Server, startServer } from '../server.ts'
import { addKey, bearer, command, folder, removeKey } from './key-file.ts'

const ok = { q: [[1]], k: [[1]], v: [[1]] }
const file = join(await folder(), 'keys.json')
const alice = await addKey(file, { name: 'alice' })
const old = await addKey(file, { name: 'old', expires: '2020-01-01T00:00:00.000Z' })
const server = await startServer({ AUTH: 'keys', KEYS_FILE: file, THREADS: '1' })

const ask = (of: Server, headers: Record<string, string>) => post(of, '/v1/attention', ok, headers)
const status = async (of: Server, key: string) => (await ask(of, bearer(key))).status
/** Longer than a change of the file takes to be seen. */
const seen = () => wait(150)

/** All that an answer tells of why it is what it is. */
const told = ({ status: code, headers, body }: Awaited<ReturnType<typeof ask>>) => {
  const { request_id: _id, ...problem } = body
  return { code, challenge: headers.get('www-authenticate'), type: headers.get('content-type'), problem }
}

describe('a request', () => {
  it('with a key is answered; its name is in the log, and its text is not', async () => {
    expect((await ask(server, bearer(alice))).status).toBe(200)
    expect((await ask(server, { authorization: `bearer  ${alice}` })).status).toBe(200)
    const log = server.log.join('')
    expect(log).toContain('"key":"alice"')
    expect(log).not.toContain(alice.slice(-43))
  })

  it('without one, with a wrong one and with one that has expired gets the same 401', async () => {
    const none = told(await attention(server, ok))
    expect(none).toMatchObject({ code: 401, challenge: 'Bearer', problem: { code: 'UNAUTHORIZED' } })
    expect(none.type).toContain('application/problem+json')
    const secret = alice.slice(-43)
    const wrong = [
      bearer(''),
      bearer('x'),
      bearer(old),
      bearer(alice.slice(0, -1)),
      bearer(`${alice}A`),
      bearer(`attn_${'0'.repeat(12)}_${secret}`),
      bearer(alice.replace(/.$/, last => (last === 'A' ? 'B' : 'A'))),
      { authorization: `Basic ${Buffer.from(`alice:${alice}`).toString('base64')}` },
      { authorization: alice },
    ]
    for (const headers of wrong) expect(told(await ask(server, headers))).toEqual(none)
    expect(server.log.join('')).not.toContain(secret)
  })

  it('is asked for its key before anything of it is looked at', async () => {
    for (const path of ['/v1/attention', '/v1/none', '/v1/plan', '/metrics', '/v1/stream', '/nowhere']) {
      const answer = await fetch(server.url + path)
      expect([path, answer.status]).toEqual([path, 401])
    }
    const large = await fetch(`${server.url}/v1/attention`, { method: 'POST', body: Buffer.alloc(1 << 20) })
    expect(large.status).toBe(401)
  })

  it('for health, the page and the documents needs none', async () => {
    for (const path of ['/health/live', '/health/ready', '/', '/docs/', '/openapi.json', '/asyncapi.json']) {
      expect([path, (await fetch(server.url + path)).status]).not.toEqual([path, 401])
    }
    expect((await fetch(`${server.url}/health/ready`)).status).toBe(200)
  })

  it('for metrics needs one unless METRICS_PUBLIC', async () => {
    expect((await fetch(`${server.url}/metrics`, { headers: bearer(alice) })).status).toBe(200)
    const open = await startServer({ AUTH: 'keys', KEYS_FILE: file, THREADS: '1', METRICS_PUBLIC: 'true' })
    expect((await fetch(`${open.url}/metrics`)).status).toBe(200)
    expect((await attention(open, ok)).status).toBe(401)
  })
})

describe('the file', () => {
  it('has no key in it, and nobody else may read it', async () => {
    const text = await readFile(file, 'utf8')
    expect(text).not.toContain(alice.slice(-43))
    expect((await stat(file)).mode & 0o777).toBe(0o600)
    const records = JSON.parse(text).keys
    expect(new Set(records.map(({ salt }: { salt: string }) => salt)).size).toBe(records.length)
  })

  it('is read again when it changes: new keys are good, removed ones are not', async () => {
    const bob = await addKey(file, { name: 'bob' })
    await seen()
    expect(await status(server, bob)).toBe(200)
    await removeKey(file, 'bob')
    await seen()
    expect([await status(server, bob), await status(server, alice)]).toEqual([401, 200])
  })

  it('that cannot be read any more changes nothing, says so in the log, and is taken when it is mended', async () => {
    const own = join(await folder(), 'keys.json')
    const key = await addKey(own, { name: 'k' })
    const of = await startServer({ AUTH: 'keys', KEYS_FILE: own, THREADS: '1' })
    const text = await readFile(own, 'utf8')
    await writeFile(own, '{"half":')
    await seen()
    expect(await status(of, key)).toBe(200)
    await writeFile(own, text.replaceAll('"k"', '"other"'))
    await chmod(own, 0o644)
    await seen()
    expect(await status(of, key)).toBe(200)
    expect(of.log.filter(line => line.includes('keys cannot be read'))).toHaveLength(2)
    expect(of.log.join('')).toContain('expected mode 0600, got 0644')
    await rm(own)
    await seen()
    expect(await status(of, key)).toBe(401)
  })

  it.each([
    ['is not there', async () => {}, /no such file; `attention-server keys add NAME` makes it/],
    [
      'is open to others',
      async (at: string) => writeFile(at, '{}', { mode: 0o640 }),
      /expected mode 0600, got 0640/,
    ],
    [
      'is something else',
      async (at: string) => writeFile(at, '{"a":1}', { mode: 0o600 }),
      /expected a file of keys/,
    ],
  ])('that %s: no start', async (_name, make, says) => {
    const own = join(await folder(), 'keys.json')
    await make(own)
    await expect(startServer({ AUTH: 'keys', KEYS_FILE: own })).rejects.toThrow(says)
  })
})

describe('a start', () => {
  it.each(['127.0.0.1', '127.8.0.1', 'localhost', '::1', '0:0:0:0:0:0:0:1', '::ffff:127.0.0.1'])(
    'on %s is open without AUTH',
    HOST => expect(readConfig({ HOST, AUTH: '' }).AUTH).toBe('off'),
  )

  it.each(['0.0.0.0', '::', '10.1.2.3', 'example.org', '127.0.0.1.example.org', '::2'])(
    'on %s is refused without AUTH, with what to set',
    HOST => {
      for (const AUTH of ['', undefined]) {
        expect(() => readConfig({ HOST, AUTH })).toThrow(/AUTH=keys.*KEYS_FILE.*AUTH=off/)
      }
      expect(readConfig({ HOST, AUTH: 'off' }).AUTH).toBe('off')
      expect(readConfig({ HOST, AUTH: 'keys', KEYS_FILE: 'k' }).AUTH).toBe('keys')
    },
  )

  it('with keys and no file is refused, and so is what AUTH does not know', () => {
    expect(() => readConfig({ AUTH: 'keys', KEYS_FILE: '' })).toThrow(/KEYS_FILE/)
    expect(() => readConfig({ AUTH: 'none' })).toThrow(/AUTH=none/)
    expect(readConfig({ HOST: '' })).toMatchObject({ HOST: '127.0.0.1', AUTH: 'off' })
  })

  it('of the command says so and ends', async () => {
    const { code, stderr } = await command(['serve'], { HOST: '0.0.0.0', PORT: '0', AUTH: '' })
    expect([code, stderr]).toEqual([
      2,
      expect.stringMatching(/^HOST=0\.0\.0\.0 .*set AUTH=keys and KEYS_FILE.*\n$/),
    ])
  })
})

describe('attention-server keys', () => {
  it('adds a key and prints it once, lists what is no secret, and removes it', async () => {
    const own = join(await folder(), 'keys.json')
    const added = await command(
      ['keys', 'add', 'ci', '--requests-per-minute', '60', '--expires', '2099-01-01'],
      {
        KEYS_FILE: own,
      },
    )
    expect(added.code).toBe(0)
    expect(added.stdout).toMatch(/^attn_[0-9a-f]{12}_[\w-]{43}\n$/)
    const of = await startServer({ AUTH: 'keys', KEYS_FILE: own, THREADS: '1' })
    expect(await status(of, added.stdout.trim())).toBe(200)
    const listed = await command(['keys', 'list', '--file', own])
    expect(listed.stdout).toMatch(/^NAME .*\nci +[0-9a-f]{12} .*2099-01-01T00:00:00.000Z +60 +any\n$/)
    expect(listed.stdout).not.toContain(added.stdout.trim().slice(-43))
    const twice = await command(['keys', 'add', 'ci', '--file', own])
    expect([twice.code, twice.stderr]).toEqual([2, expect.stringContaining('a key called ci already')])
    expect((await command(['keys', 'remove', 'ci', '--file', own])).code).toBe(0)
    await seen()
    expect(await status(of, added.stdout.trim())).toBe(401)
  })

  it.each([
    [[], /expected add, list or remove/],
    [['add'], /expected the NAME/],
    [['add', 'a b'], /NAME: expected up to 64 letters/],
    [['add', 'a', '--requests-per-minute', '0'], /--requests-per-minute/],
    [['add', 'a', '--flops-per-minute', 'many'], /--flops-per-minute: expected a number/],
    [['add', 'a', '--expires', 'soon'], /--expires: expected a date/],
    [['add', 'a', '--color', 'red'], /--color/],
    [['list', '--expires', '2027-01-01'], /expected no --expires with list/],
  ])('%j: the usage', async (args, says) => {
    const own = join(await folder(), 'keys.json')
    const run = keys.run([...args, '--file', own])
    await expect(run).rejects.toThrow(UsageError)
    await expect(run).rejects.toThrow(says)
  })

  it('wants a file, and says which one it does not find', async () => {
    const { code, stderr } = await command(['keys', 'list'], { KEYS_FILE: '' })
    expect([code, stderr]).toEqual([2, expect.stringContaining('expected --file or KEYS_FILE')])
    expect(stderr).toContain('usage: attention-server keys add NAME')
    const none = keys.run(['remove', 'a', '--file', join(await folder(), 'none')])
    await expect(none).rejects.toThrow('no such file')
  })

  it('does not lose one of two changes at once', async () => {
    const own = join(await folder(), 'keys.json')
    await Promise.all(['a', 'b', 'c', 'd'].map(name => addKey(own, { name })))
    expect(JSON.parse(await readFile(own, 'utf8')).keys).toHaveLength(4)
  })
})
