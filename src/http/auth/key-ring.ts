/** The keys of a file, as they are now: the file is looked at when a request comes, and read again when it has changed. */
import { stat } from 'node:fs/promises'
import type { FastifyBaseLogger } from 'fastify'
import type { Authenticator, Identity } from './identity.ts'
import { findKey, type KeyRecord, type KnownKey, known } from './key.ts'
import { readKeys } from './keys-file.ts'

/** The file is looked at once in this time: a key that has been removed is good for no longer. */
const FRESH_MS = 100

interface Key extends KnownKey {
  identity: Identity
  /** milliseconds since 1970 */
  expires: number
}

export class KeyRing implements Authenticator {
  readonly #file: string
  readonly #log: FastifyBaseLogger
  #keys: ReadonlyMap<string, Key> = new Map()
  /** by the id of who has the key */
  #flops: ReadonlyMap<string, number | undefined> = new Map()
  #version: string
  #looked = Number.NEGATIVE_INFINITY
  #looking: Promise<void> | undefined

  /** Rejects where the file cannot be read as it is. */
  static async open(file: string, log: FastifyBaseLogger): Promise<KeyRing> {
    const version = await versionOf(file)
    if (version === '')
      throw new Error(`KEYS_FILE=${file}: no such file; \`attention-server keys add NAME\` makes it`)
    return new KeyRing(file, log, await readKeys(file), version)
  }

  private constructor(file: string, log: FastifyBaseLogger, keys: KeyRecord[], version: string) {
    this.#file = file
    this.#log = log
    this.#set(keys)
    this.#version = version
  }

  async authenticate(token: string): Promise<Identity | undefined> {
    if (performance.now() - this.#looked > FRESH_MS) {
      this.#looking ??= this.#look().finally(() => {
        this.#looking = undefined
      })
      await this.#looking
    }
    const key = findKey(this.#keys, token)
    return key !== undefined && Date.now() < key.expires ? key.identity : undefined
  }

  flopsPerMinute(id: string): number | undefined {
    return this.#flops.get(id)
  }

  #set(keys: KeyRecord[]): void {
    this.#keys = mapOf(keys)
    this.#flops = new Map(
      [...this.#keys.values()].map(({ identity }) => [identity.id, identity.flopsPerMinute]),
    )
  }

  /** A file that is gone has no keys; one that cannot be read changes nothing. */
  async #look(): Promise<void> {
    const version = await versionOf(this.#file)
    this.#looked = performance.now()
    if (version === this.#version) return
    this.#version = version
    try {
      const keys = version === '' ? [] : await readKeys(this.#file)
      this.#set(keys)
      this.#log.info({ keys: keys.length }, 'keys read again')
    } catch (error) {
      this.#log.error({ reason: (error as Error).message }, 'the keys cannot be read; those from before hold')
    }
  }
}

/** What changes whenever the file does; nothing where there is none. */
async function versionOf(file: string): Promise<string> {
  const found = await stat(file, { bigint: true }).catch(() => undefined)
  return found === undefined ? '' : `${found.ino} ${found.mtimeNs} ${found.ctimeNs} ${found.size}`
}

function mapOf(keys: KeyRecord[]): Map<string, Key> {
  return new Map(
    keys.map(record => [
      record.id,
      {
        ...known(record),
        expires: record.expires === undefined ? Number.POSITIVE_INFINITY : Date.parse(record.expires),
        identity: {
          id: `key:${record.name}`,
          name: record.name,
          requestsPerMinute: record.requests_per_minute,
          flopsPerMinute: record.flops_per_minute,
        },
      },
    ]),
  )
}
