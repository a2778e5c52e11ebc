/** What a scan of JSON text locates, and what it knows when it pauses. */
import { latin1, type ScanFault } from './json-cursor.ts'
import type { PausedPass } from './text-kernels.ts'

/** Where an array of numbers or booleans, or a string, stands in the text. */
export type Span =
  | {
      kind: 'numbers'
      element: 'number' | 'boolean'
      shape: number[]
      count: number
      /** byte of the opening bracket, and the byte after the closing one */
      start: number
      end: number
      /** [byte, element] pairs, flattened: places at which reading may begin, the first being [start, 0] */
      marks: number[]
    }
  | {
      kind: 'text'
      /** the bytes between the quotes */
      start: number
      end: number
      /** has backslashes in it */
      escaped: boolean
      /** bytes of what it stands for; of UTF-16 where that is escaped */
      characters: number
      /** [byte, character] pairs, flattened: places behind the first escape at which reading may begin */
      marks: number[]
    }
  /** a number that no float64 can hold */
  | { kind: 'huge'; start: number; end: number }

export type JsonScan = { ok: true; value: unknown; spans: Span[] } | { ok: false; fault: ScanFault }

/**
 * A scan that has paused. It goes on from the text's beginning, with what has been located so far left out: what is left
 * beside that is bounded, so that this costs less than carrying the half-built tree from one thread to the next.
 */
export interface PausedScan {
  spans: Span[]
  /** the array or string in which it has paused */
  open: { numbers?: PausedPass; text?: PausedText } | undefined
  /** the byte it has reached */
  at: number
}

export interface PausedText {
  start: number
  at: number
  /** what its escapes are longer by than what they stand for */
  longer: number
  marks: number[]
}

/** Where and how much to scan. */
export interface ScanPlace {
  /** PASS_BYTES of shared memory, aligned to 4, of this scan alone */
  work: number
  /** pause after about this many bytes */
  piece?: number
  /** pause, for good, behind this many values */
  values?: number
  resume?: PausedScan
}

/** Bytes that a list of numbers may take, and more for each of them, indented and all. */
const LIST_BYTES = 4096
const NUMBER_BYTES = 128

/** Neither blanks nor empty arrays make the text of an array longer than its numbers do. */
export function isShort({ count, start, end }: { count: number; start: number; end: number }): boolean {
  return end - start <= LIST_BYTES + NUMBER_BYTES * count
}

/** The numbers of a span as nested arrays; for short lists only. */
export function expandNumbers(bytes: Uint8Array, span: Extract<Span, { kind: 'numbers' }>): unknown {
  return JSON.parse(latin1(bytes, span.start, span.end))
}

/** Thrown where a scan pauses. */
export class Pause extends Error {
  readonly scan: PausedScan

  constructor(scan: PausedScan) {
    super('paused')
    this.scan = scan
  }
}
