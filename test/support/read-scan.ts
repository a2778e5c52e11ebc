/** What a scan has located, read back into its place: the value that the text says. */
import { expandNumbers, type JsonScan } from '../../workers/text/json-spans.ts'

/** Throws where the scan has a fault. */
export function readScan(bytes: Uint8Array, scan: JsonScan): unknown {
  if (!scan.ok) throw new Error(scan.fault.message)
  const back = (value: unknown): unknown => {
    if (typeof value === 'bigint') {
      const span = scan.spans[Number(value)]
      if (span.kind === 'numbers') return expandNumbers(bytes, span)
      const quotes = span.kind === 'text' ? 1 : 0
      return JSON.parse(Buffer.from(bytes.slice(span.start - quotes, span.end + quotes)).toString())
    }
    if (Array.isArray(value)) return value.map(back)
    if (typeof value !== 'object' || value === null) return value
    // `__proto__` is a key like any other to JSON.parse
    const read = Object.create(null)
    for (const [key, member] of Object.entries(value)) read[key] = back(member)
    return read
  }
  return back(scan.value)
}
