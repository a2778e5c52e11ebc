/** PyTorch, in a process of its own, where a python3 is found that can import it. */
import { spawn, spawnSync } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Contender } from './contender.ts'

const SCRIPT = fileURLToPath(new URL('../pytorch.py', import.meta.url))

export async function pytorch(threads: number): Promise<Contender | undefined> {
  // settings that force BLAS onto another machine's kernels are not for this process: it is to run its best
  const { OPENBLAS_CORETYPE: _core, OPENBLAS_L2_SIZE: _cache, ...rest } = process.env
  const env = { ...rest, OMP_NUM_THREADS: String(threads), OPENBLAS_NUM_THREADS: String(threads) }
  const python = ['python3', '/usr/bin/python3'].find(
    name => spawnSync(name, ['-c', 'import torch'], { env }).status === 0,
  )
  if (python === undefined) return undefined
  const child = spawn(python, [SCRIPT, String(threads)], { env, stdio: ['pipe', 'pipe', 'inherit'] })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const line = async (): Promise<string> => {
    const { value, done } = await lines.next()
    if (done) throw new Error('the PyTorch process has ended')
    return value
  }
  const { version, threads: used, blas } = JSON.parse(await line())
  console.log(`PyTorch ${version}, ${used} threads, ${blas}`)
  return {
    name: `PyTorch ${version}`,
    async prepare(of) {
      child.stdin.write(`${JSON.stringify(of)}\n`)
      await line()
      return {
        async run() {
          child.stdin.write('run\n')
          return Number(await line())
        },
        close: async () => {},
      }
    },
    async close() {
      child.stdin.end()
    },
  }
}
