/** RFC 6901: the pointer to what stands below these keys. Every pointer that is not a plain text is made here. */
export function jsonPointer(...keys: PropertyKey[]): string {
  return keys.map(key => `/${String(key).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')
}
