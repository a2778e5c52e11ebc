/** `Repr-Digest` (RFC 9530): the SHA-256 of an answer's bytes, for those who ask for it with `Want-Repr-Digest`. */
import { createHash } from 'node:crypto'
import { setImmediate as nextTurn } from 'node:timers/promises'

/** A dictionary of algorithms with preferences from 0 (not wanted) to 10. */
const WANTED = /(?:^|,)\s*sha-256\s*=\s*0*(?:[1-9]|10)\s*(?:,|$)/

export function wantsDigest(wanted: string | string[] | undefined): boolean {
  return wanted !== undefined && WANTED.test(String(wanted))
}

/** The header's value. Other requests get their turn between the pieces. */
export async function digestOf(pieces: Iterable<Uint8Array> | AsyncIterable<Uint8Array>): Promise<string> {
  const hash = createHash('sha256')
  for await (const piece of pieces) {
    for (let at = 0; at < piece.length; at += SLICE) {
      hash.update(piece.subarray(at, at + SLICE))
      if (at > 0) await nextTurn()
    }
  }
  return `sha-256=:${hash.digest('base64')}:`
}

/** About a millisecond. */
const SLICE = 1 << 20
