/** A matrix as rows of numbers: what the page edits, asks for and draws. */
export type Matrix = number[][]

export function columns(matrix: Matrix): number {
  return matrix[0]?.length ?? 0
}

export function dot(left: number[], right: number[]): number {
  let sum = 0
  for (let index = 0; index < left.length; index++) sum += left[index]! * right[index]!
  return sum
}

/** The same numbers in another size: what is new is 0. */
export function resized(matrix: Matrix, rows: number, cols: number): Matrix {
  return Array.from({ length: rows }, (_, i) => Array.from({ length: cols }, (_, j) => matrix[i]?.[j] ?? 0))
}

export function withValue(matrix: Matrix, row: number, col: number, value: number): Matrix {
  return matrix.map((cells, i) => (i === row ? cells.map((cell, j) => (j === col ? value : cell)) : cells))
}

/** Reads nested JSON arrays, or lines of numbers between blanks, commas or tabs, as spreadsheets copy them. */
export function parseMatrix(text: string): Matrix | undefined {
  const trimmed = text.trim()
  let rows: unknown
  if (trimmed.startsWith('[')) {
    try {
      rows = JSON.parse(trimmed)
    } catch {
      return undefined
    }
  } else {
    rows = trimmed.split(/\r?\n|;/).map(line =>
      line
        .trim()
        .split(/[\s,]+/)
        .map(number),
    )
  }
  if (!Array.isArray(rows) || rows.length === 0) return undefined
  const width = Array.isArray(rows[0]) ? rows[0].length : 0
  const sound = rows.every(
    row =>
      Array.isArray(row) &&
      row.length === width &&
      row.every(cell => typeof cell === 'number' && Number.isFinite(cell)),
  )
  return sound && width > 0 ? (rows as Matrix) : undefined
}

/** An empty text is no number, whatever JavaScript says. */
function number(text: string): number {
  return text === '' ? Number.NaN : Number(text)
}

/** `1,0;0,1`: short enough for an address. */
export function writeMatrix(matrix: Matrix): string {
  return matrix.map(row => row.join(',')).join(';')
}
