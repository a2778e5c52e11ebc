/** CONTRIBUTING.md's "Add a mask in 10 minutes", followed to the letter in a copy of the tree. */
import { execFile } from 'node:child_process'
import { appendFile, cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, it } from 'vitest'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const COPIED = [
  'package.json',
  'tsconfig.json',
  'vitest.config.ts',
  'openapi',
  'scripts',
  'src',
  'test',
  'workers',
  'web',
]
const run = promisify(execFile)

let tree: string

/** Names of files between backticks, each followed by its code. */
async function stepsOf(document: string): Promise<Map<string, string>> {
  const text = await readFile(join(ROOT, document), 'utf8')
  const section = text.slice(text.indexOf('## Add a mask'), text.indexOf('## Add an op'))
  const steps = section.matchAll(/`(src\/[^`]+\.ts)`:\n\n {3}```ts\n([\s\S]*?)\n {3}```/g)
  return new Map([...steps].map(([, file, code]) => [file, `${code.replaceAll(/^ {3}/gm, '')}\n`]))
}

beforeAll(async () => {
  tree = await mkdtemp(join(tmpdir(), 'attention-server-'))
  for (const name of COPIED) await cp(join(ROOT, name), join(tree, name), { recursive: true })
  await symlink(join(ROOT, 'node_modules'), join(tree, 'node_modules'), 'junction')
  const steps = await stepsOf('CONTRIBUTING.md')
  const [mask, list] = [...steps.keys()]
  expect([mask, list]).toEqual(['src/layers/attention/masks/chunk.ts', 'src/layers/attention/masks/list.ts'])
  const line = steps.get(list) as string
  expect(line.trim().split('\n')).toHaveLength(1)
  await writeFile(join(tree, mask), steps.get(mask) as string)
  await appendFile(join(tree, list), line)
})

afterAll(() => rm(tree, { recursive: true, force: true }))

it('a mask is a file and a line: its tests pass', async () => {
  const vitest = join(tree, 'node_modules/vitest/vitest.mjs')
  const { stdout } = await run(
    process.execPath,
    [vitest, 'run', '--project', 'unit', '--reporter', 'verbose', 'masks'],
    { cwd: tree },
  )
  expect(stdout).toContain('the mask chunk')
})

it('it is documented and computed', async () => {
  await run(process.execPath, ['scripts/openapi.ts'], { cwd: tree })
  const document = JSON.parse(await readFile(join(tree, 'openapi/openapi.json'), 'utf8'))
  const { schemas } = document.components
  for (const name of ['AttentionRequest', 'MultiHeadAttentionRequest', 'TransformerRequest']) {
    expect(schemas[name].properties.chunk).toMatchObject({ type: 'integer', minimum: 1 })
  }
  const { runProgram } = await import(join(tree, 'test/support/run-program.ts'))
  const x = [[1], [2], [3], [4], [5]]
  const { tensors } = await runProgram('/v1/attention', {
    q: x,
    k: x,
    v: x,
    chunk: 2,
    return: ['weights'],
    backward: { target: x },
  })
  const attended = tensors.weights.data.map((weight: number) => (weight > 0 ? 1 : 0))
  expect(attended).toEqual([1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 1])
  expect(tensors['grads.q'].data.every(Number.isFinite)).toBe(true)
})
