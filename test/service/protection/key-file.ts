/** Files of keys for tests, and the command that writes them. */
import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll } from 'vitest'
import { type KeyOptions, newKey } from '../../../src/http/auth/key.ts'
import { changeKeys } from '../../../src/http/auth/keys-file.ts'

const MAIN = fileURLToPath(new URL('../../../src/cli/main.ts', import.meta.url))

export async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'attention-server-keys-'))
  afterAll(() => rm(path, { recursive: true }))
  return path
}

export async function addKey(file: string, options: KeyOptions): Promise<string> {
  const { key, record } = newKey(options)
  await changeKeys(file, all => [...all, record])
  return key
}

export async function removeKey(file: string, name: string): Promise<void> {
  await changeKeys(file, all => all.filter(each => each.name !== name))
}

export interface Ended {
  code: number
  stdout: string
  stderr: string
}

/** `attention-server …`, as a process of its own. */
export function command(args: string[], env: Record<string, string> = {}): Promise<Ended> {
  return new Promise(resolve => {
    const own = { ...process.env, ...env }
    execFile(process.execPath, [MAIN, ...args], { env: own }, (error, stdout, stderr) =>
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, stdout, stderr }),
    )
  })
}

export const bearer = (key: string) => ({ authorization: `Bearer ${key}` })
