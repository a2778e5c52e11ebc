/** What bodies bring in one turn of the event loop is bounded: the rest is left with the system until a later turn. */

/** That all bodies together may bring in a turn: about a millisecond. */
const TURN_BYTES = 1 << 20
/** Connections that are read on in a turn, each of which brings 64 KiB at least. */
const IN_TURN = TURN_BYTES >> 16

let left = TURN_BYTES
let later = false
const wanted: (() => void)[] = []
/** Bodies that are wanted and have brought more than could be taken: they wait for their turn. */
export const waitingBodies: { readonly length: number } = wanted
/** behind all of those, what is thrown away */
const others: (() => void)[] = []

/** Some bytes have been read. Where there are too many now, no more are to be read of it before the promise has settled. */
export function pace(bytes: number, isWanted = true): Promise<void> | undefined {
  left -= bytes
  if (!later) setImmediate(nextTurn)
  later = true
  if (left > 0) return undefined
  return new Promise(resolve => {
    const waiting = isWanted ? wanted : others
    waiting.push(resolve)
  })
}

function nextTurn(): void {
  left = TURN_BYTES
  const next = wanted.splice(0, IN_TURN)
  next.push(...others.splice(0, IN_TURN - next.length))
  later = next.length > 0
  if (later) setImmediate(nextTurn)
  for (const resolve of next) resolve()
}
