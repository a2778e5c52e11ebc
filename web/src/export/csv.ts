/** Matrices as one long table, a line a cell: what every spreadsheet and data frame reads. */
export interface LabelledMatrix {
  name: string
  rows: string[]
  cols: string[]
  value(row: number, col: number): number
}

export function writeCsv(matrices: LabelledMatrix[]): string {
  const lines = ['matrix,row,column,row_label,column_label,value']
  for (const { name, rows, cols, value } of matrices) {
    for (const [i, row] of rows.entries()) {
      for (const [j, col] of cols.entries()) {
        lines.push([name, i, j, quoted(row), quoted(col), value(i, j)].join(','))
      }
    }
  }
  return `${lines.join('\r\n')}\r\n`
}

/** RFC 4180; a label that a spreadsheet would take for a formula is kept a text. */
function quoted(label: string): string {
  const safe = /^[=+\-@]/.test(label) ? `'${label}` : label
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe
}
