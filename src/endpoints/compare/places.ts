/** Where in a tensor a candidate is wrong, head by head: for the diagnosis, not for the answer. */

/** A head that has mismatches. */
export interface BadHead {
  index: number[]
  /** its largest error; where it holds NaN or infinities that the truth has not, the largest number */
  error: number
  firstRow: number
  lastRow: number
  /** rows that have mismatches */
  badRows: number
  firstColumn: number
  lastColumn: number
}

export interface Places {
  /** of the axes that number its heads */
  extents: number[]
  /** of each head */
  rows: number
  columns: number
  bad: BadHead[]
}

const PLACES = new WeakMap<object, Places>()

export function keepPlaces<T extends object>(report: T, places: Places): T {
  PLACES.set(report, places)
  return report
}

export function placesOf(report: object): Places {
  return PLACES.get(report) ?? { extents: [], rows: 0, columns: 0, bad: [] }
}
