/** What the Attention view exports: every matrix on screen, and the request they answer. */
import type { Exportable } from '../export/export-bar.ts'
import { sheetOf, type Titled } from '../export/sheet.ts'
import { columns } from '../matrix/matrix.ts'
import { pictureOf, titleOf } from './flow.ts'
import { NAMES, type Name } from './matrices.ts'
import type { AttentionModel } from './model.ts'
import { requestOf } from './model-request.ts'

export function exportableAttention(model: AttentionModel): Exportable {
  const shown = () => {
    const { result } = model.answer.value
    if (result === undefined) return []
    return NAMES.flatMap(name => {
      const picture = name === 'target' && !result.gradients ? undefined : pictureOf(result, name)
      return picture === undefined ? [] : [{ name, picture }]
    })
  }
  return {
    name: 'attention',
    picture() {
      const line = (wanted: (name: Name) => boolean): Titled[] =>
        shown()
          .filter(({ name }) => wanted(name))
          .map(({ name, picture }) => ({ title: titleOf(name, Boolean(model.shown.model)), picture }))
      const isInput = (name: Name) => ['q', 'k', 'v', 'target'].includes(name)
      const isGradient = (name: Name) => name.startsWith('grad_')
      return sheetOf([line(isInput), line(name => !isInput(name) && !isGradient(name)), line(isGradient)])
    },
    matrices: () =>
      shown().map(({ name, picture: { rows, cols, values } }) => ({
        name,
        rows,
        cols,
        value: (row, col) => values[row]![col]!,
      })),
    tensors: () =>
      shown().map(({ name, picture: { values } }) => ({
        name: name.replace(/^grad_/, 'grads.'),
        shape: [values.length, columns(values)],
        data: Float64Array.from(values.flat()),
      })),
    facts: () => ({
      loss: model.answer.value.result?.gradients?.loss,
      tokens: model.answer.value.result?.tokens,
    }),
    request: () => requestOf(model.shown),
  }
}
