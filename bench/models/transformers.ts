/** Transformers with PyTorch in a process of its own, by the interpreter that PYTHON names (default python3). */
import { spawn, spawnSync } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const SCRIPT = fileURLToPath(new URL('hugging_face.py', import.meta.url))
const PYTHON = process.env.PYTHON ?? 'python3'

export interface Transformers {
  name: string
  prepare(what: object): Promise<void>
  /** milliseconds */
  run(): Promise<number>
  stop(): void
}

/** GPT-2 small with random weights, as save_pretrained writes it. */
export function makeGpt2(folder: string): void {
  const { status } = spawnSync(PYTHON, [SCRIPT, 'make', folder], { stdio: ['ignore', 'ignore', 'inherit'] })
  if (status !== 0) throw new Error(`${PYTHON} with torch and transformers is needed: set PYTHON`)
}

export async function startTransformers(threads: number): Promise<Transformers> {
  const env = { ...process.env, OMP_NUM_THREADS: String(threads), HF_HUB_OFFLINE: '1' }
  const child = spawn(PYTHON, [SCRIPT, 'run', String(threads)], { env, stdio: ['pipe', 'pipe', 'inherit'] })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const answer = async (asked: string): Promise<string> => {
    if (asked !== '') child.stdin.write(`${asked}\n`)
    const { value, done } = await lines.next()
    if (done) throw new Error('the process of transformers has ended')
    return value
  }
  const { torch, transformers } = JSON.parse(await answer(''))
  return {
    name: `transformers ${transformers}, PyTorch ${torch}`,
    prepare: async what => void (await answer(JSON.stringify(what))),
    run: async () => Number(await answer('run')),
    stop: () => void child.kill(),
  }
}
