/** The bytes that a token stands for, as vocabularies write them; undefined where it is not written so. */
export type ReadBytes = (token: string) => Uint8Array | undefined

const encoder = new TextEncoder()

/**
 * GPT-2's: a letter a byte. Bytes that print in Latin-1 are that letter, the others are U+0100 and those that follow (space: Ġ, line
 * feed: Ċ). Source: openai/gpt-2, encoder.py, bytes_to_unicode.
 */
const BYTES = new Map<string, number>()
for (let byte = 0, others = 0; byte < 256; byte++) {
  const prints = (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte !== 0xad)
  BYTES.set(String.fromCharCode(prints ? byte : 0x100 + others++), byte)
}

export const byteLevel: ReadBytes = token => {
  const bytes = Array.from(token, letter => BYTES.get(letter))
  return bytes.every(byte => byte !== undefined) ? Uint8Array.from(bytes) : undefined
}

/** SentencePiece's: ▁ is a space, and <0xEA> a byte of a letter that the vocabulary has not. */
export const sentencePiece: ReadBytes = token => {
  const [, byte] = /^<0x([0-9A-F]{2})>$/.exec(token) ?? []
  return byte === undefined
    ? encoder.encode(token.replaceAll('▁', ' '))
    : Uint8Array.of(Number.parseInt(byte, 16))
}
