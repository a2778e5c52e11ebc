/** What errors and logs show of a client's own keys and values: a few characters. */

const MOST_SHOWN = 32
const MOST_KEY = 64
const MOST_POINTER = 512

/** The text, or its beginning. */
export function shortened(text: string, most = MOST_SHOWN): string {
  return text.length > most ? `${text.slice(0, most)}…` : text
}

/** RFC 6901: the pointer to what stands below these keys. Every pointer that is not a plain text is made here. */
export function jsonPointer(...keys: PropertyKey[]): string {
  const parts = keys.map(key => {
    const shown = shortened(String(key), MOST_KEY)
    return `/${shown.replaceAll('~', '~0').replaceAll('/', '~1')}`
  })
  return shortened(parts.join(''), MOST_POINTER)
}
