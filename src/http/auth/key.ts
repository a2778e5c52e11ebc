/**
 * What a key is: `attn_`, an id that finds its record, and 256 random bits. Of these the record has a salted SHA-256: nobody
 * can try 2²⁵⁶ of them, so a slow hash would only cost every request, and let wrong keys keep the server busy.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import * as z from 'zod'

const KEY = /^attn_([0-9a-f]{12})_([\w-]{43})$/

/** A key as the file holds it: nothing of the secret but its hash. */
export const KeyRecord = z.strictObject({
  name: z.string().regex(/^[A-Za-z0-9][\w.@-]{0,63}$/, 'expected up to 64 letters, digits or . _ @ -'),
  id: z.string().regex(/^[0-9a-f]{12}$/),
  salt: z.base64(),
  hash: z.base64(),
  created: z.iso.datetime(),
  expires: z.iso.datetime().optional(),
  requests_per_minute: z.int().positive().optional(),
  flops_per_minute: z.number().positive().optional(),
})

export type KeyRecord = z.infer<typeof KeyRecord>

export type KeyOptions = Pick<KeyRecord, 'name' | 'expires' | 'requests_per_minute' | 'flops_per_minute'>

/** A new key: its text, which is nowhere else, and its record. */
export function newKey(options: KeyOptions): { key: string; record: KeyRecord } {
  const id = randomBytes(6).toString('hex')
  const secret = randomBytes(32).toString('base64url')
  const salt = randomBytes(16)
  const record = {
    ...options,
    id,
    salt: salt.toString('base64'),
    hash: hashOf(salt, secret).toString('base64'),
    created: new Date().toISOString(),
  }
  return { key: `attn_${id}_${secret}`, record }
}

/** What is compared where no key has the id: it takes as long, and fits nothing. */
const NONE = { salt: randomBytes(16), hash: randomBytes(32) }

/** A record, ready to be compared. */
export interface KnownKey {
  salt: Buffer
  hash: Buffer
}

export function known({ salt, hash }: KeyRecord): KnownKey {
  return { salt: Buffer.from(salt, 'base64'), hash: Buffer.from(hash, 'base64') }
}

/** The one of `keys` (by id) that a text is, in a time that says nothing of it. */
export function findKey<K extends KnownKey>(keys: ReadonlyMap<string, K>, text: string): K | undefined {
  const [, id, secret] = KEY.exec(text) ?? []
  if (id === undefined) return undefined
  const candidate = keys.get(id)
  const { salt, hash } = candidate ?? NONE
  return timingSafeEqual(hashOf(salt, secret), hash) ? candidate : undefined
}

function hashOf(salt: Buffer, secret: string): Buffer {
  return createHash('sha256').update(salt).update(secret).digest()
}
