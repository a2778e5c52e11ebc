/** The losses of training as a picture and as a table. */

/** Means over the steps up to this one. */
export interface Entry {
  step: number
  /** nats, and the share that was right: at pronouns, and at masked words */
  noun: { loss: number; right: number }
  word: { loss: number; right: number }
}

/** What batches have come to since the last entry. */
export class Sums {
  readonly #sums = { noun: { count: 0, loss: 0, right: 0 }, word: { count: 0, loss: 0, right: 0 } }

  add(targets: { kind: 'noun' | 'word' }[], losses: number[], right: boolean[]): void {
    for (const [at, { kind }] of targets.entries()) {
      const sum = this.#sums[kind]
      sum.count++
      sum.loss += losses[at]
      sum.right += Number(right[at])
    }
  }

  mean(kind: 'noun' | 'word') {
    const { count, loss, right } = this.#sums[kind]
    return { loss: loss / count, right: right / count }
  }
}

const [WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM] = [720, 320, 48, 24, 96, 40]
const SERIES = [
  { kind: 'noun', name: 'the noun at its pronoun', colour: '#3b3fa8' },
  { kind: 'word', name: 'a masked word', colour: '#c2571a' },
] as const

export function tableOf(entries: Entry[]): string {
  const rows = entries.map(({ step, noun, word }) =>
    [step, noun.loss.toFixed(4), noun.right.toFixed(4), word.loss.toFixed(4), word.right.toFixed(4)].join(
      ',',
    ),
  )
  return `${['step,noun_loss,noun_right,word_loss,word_right', ...rows].join('\n')}\n`
}

/** What a table says, where training goes on. */
export function entriesOf(table: string): Entry[] {
  const [, ...rows] = table.trimEnd().split('\n')
  return rows.map(row => {
    const [step, nounLoss, nounRight, wordLoss, wordRight] = row.split(',').map(Number)
    return { step, noun: { loss: nounLoss, right: nounRight }, word: { loss: wordLoss, right: wordRight } }
  })
}

export function pictureOf(entries: Entry[]): string {
  const last = entries[entries.length - 1]
  const most = Math.ceil(Math.max(...entries.flatMap(({ noun, word }) => [noun.loss, word.loss])))
  const x = (step: number) => LEFT + ((WIDTH - LEFT - RIGHT) * step) / last.step
  const y = (loss: number) => HEIGHT - BOTTOM - ((HEIGHT - TOP - BOTTOM) * loss) / most
  const line = (x1: number, y1: number, x2: number, y2: number) =>
    `<line x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}"/>`
  const text = (at: [number, number], words: string, more = '') =>
    `<text x="${at[0].toFixed(1)}" y="${at[1].toFixed(1)}"${more}>${words}</text>`
  const losses = Array.from({ length: most + 1 }, (_, loss) => loss)
  const steps = Array.from({ length: 5 }, (_, at) => (last.step * at) / 4)
  const parts = [
    ...losses.map(loss => line(LEFT, y(loss), WIDTH - RIGHT, y(loss))),
    ...losses.map(loss => text([LEFT - 8, y(loss) + 4], String(loss), ' text-anchor="end"')),
    ...steps.map(step => text([x(step), HEIGHT - BOTTOM + 18], String(step), ' text-anchor="middle"')),
    text([LEFT, TOP - 8], 'nats'),
    text([x(last.step / 2), HEIGHT - 6], 'steps', ' text-anchor="middle"'),
    ...SERIES.map(({ kind, name, colour }, at) => {
      const points = entries.map(entry => `${x(entry.step).toFixed(1)},${y(entry[kind].loss).toFixed(1)}`)
      const label = text([WIDTH - RIGHT - 190, TOP + 16 + 18 * at], name, ` style="fill:${colour}"`)
      const end = text(
        [x(last.step) + 6, y(last[kind].loss) + 4],
        last[kind].loss.toFixed(2),
        ` style="fill:${colour}"`,
      )
      return `<polyline points="${points.join(' ')}" stroke="${colour}"/>${label}${end}`
    }),
  ]
  const style =
    'text{font:13px sans-serif;fill:#444}line{stroke:#ddd}polyline{fill:none;stroke-width:2;stroke-linejoin:round}'
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="The loss over the steps of training">`,
    `<style>${style}</style>`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    ...parts,
    '</svg>\n',
  ].join('\n')
}
