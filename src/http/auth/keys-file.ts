/** The file of the keys: read by the server, changed by `attention-server keys`. Only its owner may read or write it. */
import { randomUUID } from 'node:crypto'
import { open, readFile, realpath, rename, rm, stat } from 'node:fs/promises'
import { setTimeout as wait } from 'node:timers/promises'
import * as z from 'zod'
import { KeyRecord } from './key.ts'

const KeysFile = z.strictObject({ version: z.literal(1), keys: z.array(KeyRecord) })

/** Bits of a file's mode that give others access. */
const OTHERS = 0o077

/** Time that a change waits for another. */
const LOCK_MS = 2000

/** Throws where it is not there, others have access to it, or it is no file of keys. */
export async function readKeys(file: string): Promise<KeyRecord[]> {
  const { mode } = await stat(file)
  if ((mode & OTHERS) !== 0) {
    const got = (mode & 0o777).toString(8).padStart(4, '0')
    throw new Error(`${file}: expected mode 0600, got ${got}; chmod 600 mends it`)
  }
  return parseKeys(file, await readFile(file, 'utf8'))
}

function parseKeys(file: string, text: string): KeyRecord[] {
  const parsed = KeysFile.safeParse(tree(text))
  // what stands there is not quoted
  if (!parsed.success)
    throw new Error(`${file}: expected a file of keys, as \`attention-server keys\` writes it`)
  return parsed.data.keys
}

function tree(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Puts what `change` makes of the keys in their place, at once; a file that is not there has none. */
export async function changeKeys(file: string, change: (keys: KeyRecord[]) => KeyRecord[]): Promise<void> {
  const target = await realpath(file).catch(() => file)
  const lock = `${target}.lock`
  const locked = await lockFile(lock)
  const next = `${target}.${randomUUID()}`
  try {
    const there = await stat(target).catch(() => undefined)
    const keys = change(there === undefined ? [] : await readKeys(target))
    const output = await open(next, 'wx', 0o600)
    try {
      // a file that belongs to the server's user stays so where root changes it
      if (there !== undefined) await output.chown(there.uid, there.gid).catch(() => {})
      await output.writeFile(`${JSON.stringify({ version: 1, keys }, undefined, 2)}\n`)
      await output.sync()
    } finally {
      await output.close()
    }
    await rename(next, target)
  } finally {
    await locked.close()
    await rm(lock, { force: true })
    await rm(next, { force: true })
  }
}

/** Two changes at once would lose one. */
async function lockFile(lock: string) {
  for (const until = performance.now() + LOCK_MS; ; ) {
    try {
      return await open(lock, 'wx', 0o600)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      if (performance.now() > until) throw new Error(`${lock}: another change is under way, or has left it`)
      await wait(20)
    }
  }
}
