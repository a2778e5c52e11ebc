/** Two panels of points over the number of servers, as an SVG that a page of documentation shows. */

export interface Panel {
  title: string
  /** one for 1, 2, 3 … servers */
  values: number[]
  /** what they would be if each server did as much as one alone */
  ideal: number[]
  digits: number
}

const WIDTH = 320
const HEIGHT = 220
const LEFT = 24
const TOP = 44
const BOTTOM = 32

export function plot(panels: Panel[], caption: string): string {
  const width = WIDTH * panels.length
  const drawn = panels.map(
    (panel, at) => `<g transform="translate(${at * WIDTH} 0)">${drawnPanel(panel)}</g>`,
  )
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${HEIGHT + 28}" width="${width}" role="img" font-family="system-ui, sans-serif" font-size="12">
<title>${caption}</title>
<rect width="100%" height="100%" fill="#fff"/>
${drawn.join('\n')}
<text x="${LEFT}" y="${HEIGHT + 16}" fill="#555" font-size="11">${caption}</text>
</svg>
`
}

function drawnPanel({ title, values, ideal, digits }: Panel): string {
  const most = Math.max(...values, ...ideal)
  const x = (at: number) => LEFT + 30 + (at * (WIDTH - LEFT - 80)) / Math.max(1, values.length - 1)
  const y = (value: number) => HEIGHT - BOTTOM - (value / most) * (HEIGHT - BOTTOM - TOP)
  const line = (points: number[]) =>
    points.map((value, at) => `${x(at).toFixed(1)},${y(value).toFixed(1)}`).join(' ')
  const marks = values.map((value, at) => {
    const [cx, cy] = [x(at).toFixed(1), y(value).toFixed(1)]
    return (
      `<circle cx="${cx}" cy="${cy}" r="4" fill="#1f5fbf"/>` +
      `<text x="${cx}" y="${Number(cy) - 9}" text-anchor="middle" fill="#1f5fbf">${value.toFixed(digits)}</text>` +
      `<text x="${cx}" y="${HEIGHT - 12}" text-anchor="middle" fill="#333">${at + 1}</text>`
    )
  })
  return (
    `<text x="${LEFT}" y="20" fill="#111" font-weight="600">${title}</text>` +
    `<line x1="${LEFT}" x2="${WIDTH - 16}" y1="${y(0)}" y2="${y(0)}" stroke="#999"/>` +
    `<polyline points="${line(ideal)}" fill="none" stroke="#999" stroke-dasharray="4 4"/>` +
    `<polyline points="${line(values)}" fill="none" stroke="#1f5fbf" stroke-width="2"/>` +
    marks.join('')
  )
}
