/** An error map as a drawing: a block of a head's rows and columns has the colour of the largest error in it. */
import { LEVELS } from './report-style.ts'

/** `label`: what it shows, for those who do not see it. */
export function errorMapSvg(map: readonly (readonly (number | string)[])[], label: string): string {
  const columns = map[0]?.length ?? 0
  const paths = LEVELS.map(() => '')
  for (const [row, errors] of map.entries()) {
    let from = 0
    for (let column = 1; column <= columns; column++) {
      const level = levelOf(errors[from])
      if (column < columns && levelOf(errors[column]) === level) continue
      paths[level] += `M${from} ${row}h${column - from}v1h-${column - from}z`
      from = column
    }
  }
  const drawn = paths.flatMap((path, level) => (path === '' ? [] : [`<path class="e${level}" d="${path}"/>`]))
  return `<svg viewBox="0 0 ${columns} ${map.length}" preserveAspectRatio="none" shape-rendering="crispEdges" role="img" aria-label="${label}">${drawn.join('')}</svg>`
}

function levelOf(error: number | string): number {
  return typeof error === 'string' ? LEVELS.length - 1 : LEVELS.findIndex(({ limit }) => error <= limit)
}

export function errorLegend(): string {
  const levels = LEVELS.map(({ name }, at) => `<span><i class="e${at}"></i>${name}</span>`)
  return `<div class="legend">${levels.join('')}</div>`
}
