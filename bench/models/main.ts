/**
 * Real models beside transformers and PyTorch, whole requests against calls in their own process, in turn: MiniLM-L6 with all maps (MINILM
 * is its folder, as .ci/real-model installs it), and generation by a model of GPT-2 small's size; and what a load does to the event loop.
 */
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { median, table } from '../report.ts'
import { type Service, startService } from '../service.ts'
import { Connection } from './connection.ts'
import { benchLoad } from './load.ts'
import { makeGpt2, startTransformers, type Transformers } from './transformers.ts'

const THREADS = 2
const ROUNDS = Number(process.env.ROUNDS ?? 9)
/** Requests until the JavaScript around a model's steps is compiled. */
const WARM_UP = 200
/** For threads of OpenMP to stop spinning. */
const PAUSE_MS = 200
const BINARY = 'application/x-safetensors'
const JSON_TYPE = 'application/json'

interface Case {
  name: string
  model: string
  request: Record<string, unknown>
  accept: string
  /** what transformers is to do */
  theirs: { kind: 'maps'; tokens: number } | { kind: 'generate'; tokens: number; new: number }
}

const tokens = (count: number) => [Array.from({ length: count }, (_, at) => 1000 + at)]

function maps(answer: string, accept: string, more: object): Case {
  const wanted = { token_ids: tokens(128), return: ['weights'], ...more }
  const theirs = { kind: 'maps', tokens: 128 } as const
  return {
    name: `MiniLM-L6, 128 tokens, all maps, ${answer}`,
    model: 'minilm',
    request: wanted,
    accept,
    theirs,
  }
}

function generate(count: number, fresh: number): Case {
  return {
    name: `GPT-2 small, ${count} tokens, ${fresh} new ones`,
    model: 'gpt2',
    request: { token_ids: tokens(count), return: [], generate: { max_new_tokens: fresh } },
    accept: JSON_TYPE,
    theirs: { kind: 'generate', tokens: count, new: fresh },
  }
}

const CASES = [
  maps('safetensors', BINARY, {}),
  maps('base64', JSON_TYPE, { encoding: 'base64' }),
  generate(32, 32),
  generate(128, 32),
]

export async function benchModels(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'bench-models-'))
  try {
    makeGpt2(join(folder, 'gpt2'))
    const { MINILM } = process.env
    if (MINILM !== undefined) symlinkSync(MINILM, join(folder, 'minilm'), 'dir')
    await besideTransformers(
      folder,
      CASES.filter(({ model }) => model === 'gpt2' || MINILM !== undefined),
    )
    await benchLoad(folder)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

async function besideTransformers(folder: string, cases: Case[]): Promise<void> {
  const service = await startService('../src/main.ts', { MODELS_DIR: folder, THREADS: String(THREADS) })
  const theirs = await startTransformers(THREADS)
  const rows: string[][] = []
  for (const each of cases) {
    const row = await inTurn(service, theirs, each, folder)
    // it takes minutes: what is known is told at once
    console.error(row.join('  '))
    rows.push(row)
  }
  service.stop()
  theirs.stop()
  console.log(`${theirs.name}, eager, ${THREADS} threads each; whole requests of ours\n`)
  const head = [
    '',
    'ours ms',
    'theirs ms',
    '× ours',
    'best: ours',
    'theirs',
    '× ours',
    'in our workers',
    'best',
    'tokens/s: ours',
    'theirs',
  ]
  console.log(table(head, rows))
}

async function inTurn(service: Service, theirs: Transformers, each: Case, folder: string): Promise<string[]> {
  const connection = new Connection(service.url)
  const body = JSON.stringify(each.request)
  const run = () => connection.post(`/v1/models/${each.model}/forward`, body, each.accept)
  await theirs.prepare({ ...each.theirs, folder: join(folder, each.model) })
  for (let warm = 0; warm < 2; warm++) await theirs.run()
  for (let warm = 0; warm < (each.theirs.kind === 'maps' ? WARM_UP : 2); warm++) await run()
  const [a, b, ratios, inWorkers]: number[][] = [[], [], [], []]
  for (let round = 0; round < ROUNDS; round++) {
    // each behind a run of its own, so that caches are its own
    await pause()
    await run()
    const { ms, compute } = await run()
    a.push(ms)
    inWorkers.push(compute)
    await pause()
    await theirs.run()
    b.push(await theirs.run())
    ratios.push(b[round] / a[round])
  }
  connection.end()
  const best = [Math.min(...a), Math.min(...b)]
  const workers = [median(inWorkers), Math.min(...inWorkers)]
  const figures = [median(a), median(b), median(ratios), ...best, best[1] / best[0], ...workers].map(ms =>
    ms.toFixed(2),
  )
  const rates = [median(a), median(b)].map(ms =>
    each.theirs.kind === 'generate' ? ((each.theirs.new / ms) * 1000).toFixed(1) : '-',
  )
  return [each.name, ...figures, ...rates]
}

const pause = () => new Promise(resolve => setTimeout(resolve, PAUSE_MS))
