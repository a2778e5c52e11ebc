/** The Layers view: the stack's controls, the grid that fills while the stack runs, and the map that is open. */
import { exportBar } from '../export/export-bar.ts'
import { h } from '../page/dom.ts'
import { watchTheme } from '../page/theme.ts'
import type { View } from '../page/view.ts'
import { say } from '../words/language.ts'
import { Detail } from './detail.ts'
import { entropyTable } from './entropy-table.ts'
import { exportableLayers } from './exportable.ts'
import { LayerGrid } from './grid.ts'
import type { LayersModel } from './model.ts'
import { layersSetup } from './setup.ts'
import { Transport } from './transport.ts'

export function layersView(model: LayersModel, tables: boolean): View {
  const setup = layersSetup(model)
  const transport = new Transport(model)
  const grid = tables ? undefined : new LayerGrid(model)
  const table = h('div')
  const detail = new Detail(model, tables)
  const problem = h('p', { class: 'problem', role: 'alert', hidden: true })
  const exports = exportBar(exportableLayers(model, () => detail.canvases))
  const element = h(
    'div',
    { class: 'view layers-view' },
    h('p', { class: 'lead' }, say().layersLead),
    setup.element,
    problem,
    transport.element,
    grid?.element ?? table,
    detail.element,
    exports,
  )
  const showStatus = () => {
    const status = model.status.value
    transport.update()
    exports.hidden = status.frames === 0
    problem.textContent = status.problem === 'unreachable' ? say().unreachable : (status.problem ?? '')
    problem.hidden = status.problem === undefined
    if (tables && status.phase !== 'idle') table.replaceChildren(entropyTable(model))
  }
  const ends = [
    model.state.watch((state, before) => {
      setup.sync(state)
      if (state.log !== before.log) {
        transport.update()
        grid?.reset()
      }
      if (state.selected !== before.selected) grid?.select()
      if (state.selected !== before.selected || state.log !== before.log) detail.update()
      else if (state.row !== before.row) detail.showRow()
    }),
    model.status.watch((status, before) => {
      if (status.phase === 'running' && before.frames > 0 && status.frames === 0) {
        grid?.reset()
        detail.repaint()
      } else if (status.phase !== before.phase && before.phase === 'idle') grid?.reset()
      showStatus()
      if (status.shown !== before.shown) grid?.showOnly()
      if (status.frames !== before.frames) detail.update()
    }),
    watchTheme(() => {
      grid?.reset()
      detail.repaint()
    }),
  ]
  setup.sync(model.state.value)
  showStatus()
  if (model.status.value.phase !== 'idle') grid?.reset()
  grid?.select()
  detail.update()
  return {
    element,
    dispose() {
      grid?.dispose()
      detail.dispose()
      for (const end of ends) end()
    },
  }
}
