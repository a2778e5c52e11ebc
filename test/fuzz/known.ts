/** Faults that are known and not mended yet: what would meet one is not sent. Who mends one takes its line away. */

function holds(value: unknown, is: (value: Record<string, unknown>) => boolean): boolean {
  if (typeof value !== 'object' || value === null) return false
  return is(value as Record<string, unknown>) || Object.values(value).some(member => holds(member, is))
}

const isEmpty = (list: unknown) => Array.isArray(list) && list.length === 0

const FAULTS: { issue: number; meets(body: unknown, text: string): boolean }[] = [
  // a zero extent makes all others free: a worker never comes back
  {
    issue: 12,
    meets: body =>
      holds(
        body,
        ({ shape }) =>
          Array.isArray(shape) &&
          shape.includes(0) &&
          shape.some(extent => typeof extent === 'number' && extent > 4096),
      ),
  },
  // lengths of no batch element are a 500
  {
    issue: 12,
    meets: body =>
      holds(body, ({ q_lengths: q, kv_lengths: kv }) =>
        [q, kv].some(given => isEmpty(given) || isEmpty((given as { data?: unknown } | undefined)?.data)),
      ),
  },
  // an escape within base64 that JSON does not know is a lost worker
  { issue: 12, meets: (_, text) => /"base64"\s*:\s*"[^"]*\\/.test(text) },
]

/** The issue of the known fault that a body would meet. */
export function knownFault(body: unknown, text: string): number | undefined {
  return FAULTS.find(({ meets }) => meets(body, text))?.issue
}

/** The escapes of a long string are looked at when it is decoded, not when it is scanned: issue 12, memory that no plan counts. */
export function knownScan(spans: { kind: string; escaped?: boolean }[]): number | undefined {
  return spans.some(({ kind, escaped }) => kind === 'text' && escaped) ? 12 : undefined
}

/** A list or a long string where an object belongs is taken for an object without members, or with members of its own. */
const PLACES = { issue: 11, meets: (holder: unknown) => Array.isArray(holder) || typeof holder === 'string' }

/** The issue of the known fault by which a place is named below what has no members. */
export function knownPlace(holder: unknown): number | undefined {
  return PLACES.meets(holder) ? PLACES.issue : undefined
}
