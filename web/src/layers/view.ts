/** The Layers view: the stack's controls, the grid that fills while the stack runs, and the map that is open. */
import { exportBar } from '../export/export-bar.ts'
import { h } from '../page/dom.ts'
import { models } from '../page/models.ts'
import { Notice } from '../page/notice.ts'
import { PATIENCE_MS } from '../page/patience.ts'
import { watchTheme } from '../page/theme.ts'
import type { View } from '../page/view.ts'
import { say } from '../words/language.ts'
import { Detail } from './detail.ts'
import { entropyTable } from './entropy-table.ts'
import { exportableLayers } from './exportable.ts'
import { LayerGrid } from './grid.ts'
import type { LayersModel } from './model.ts'
import type { RunStatus } from './run-status.ts'
import { layersSetup } from './setup.ts'
import { Transport } from './transport.ts'

export function layersView(model: LayersModel, tables: boolean): View {
  const setup = layersSetup(model)
  const transport = new Transport(model)
  const grid = tables ? undefined : new LayerGrid(model)
  const table = h('div')
  const detail = new Detail(model, tables)
  const notice = new Notice()
  const exports = exportBar(exportableLayers(model))
  const element = h(
    'div',
    { class: 'view layers-view' },
    h('p', { class: 'lead' }, say().layersLead),
    setup.element,
    notice.element,
    transport.element,
    grid?.element ?? table,
    detail.element,
    exports,
  )
  const showStatus = () => {
    const status = model.status.value
    transport.update()
    exports.hidden = status.frames === 0
    const again = { label: say().runAgain, act: () => model.again() }
    notice.show(troubleOf(status), mayRunAgain(status) ? again : undefined)
    if (tables && status.phase !== 'idle') table.replaceChildren(entropyTable(model))
  }
  /** the run that the grid is laid out for */
  let laid = model.of
  const ends = [
    model.state.watch((state, before) => {
      setup.sync(state)
      const redrawn = state.log !== before.log || state.fold !== before.fold
      if (redrawn) {
        showStatus()
        grid?.reset()
      }
      if (state.selected !== before.selected) grid?.select()
      if (state.selected !== before.selected || redrawn) detail.update()
      else if (state.row !== before.row) detail.showRow()
    }),
    model.status.watch((status, before) => {
      if (model.of !== laid) {
        laid = model.of
        grid?.reset()
        detail.repaint()
      }
      showStatus()
      if (status.shown !== before.shown) grid?.showOnly()
      const { frames, phase, silent } = status
      if (frames !== before.frames || phase !== before.phase || silent !== before.silent) detail.update()
    }),
    model.maps.watch(() => detail.update()),
    models.watch(() => setup.sync(model.state.value)),
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

/** What the reader is told of a run; what keeps a map away is told where the map is. */
function troubleOf({ trouble, silent, phase }: RunStatus): string | undefined {
  const words = say()
  switch (trouble?.kind) {
    case 'refused':
      return trouble.detail
    case 'message':
      return words.messageRefused(trouble.detail)
    case 'unreachable':
      return words.unreachable
    case 'lost':
      return [words.connectionLost, trouble.detail].filter(Boolean).join(' ')
  }
  return silent && phase === 'running' ? words.serverSilent(PATIENCE_MS / 1000) : undefined
}

function mayRunAgain({ trouble, silent }: RunStatus): boolean {
  if (trouble?.kind === 'refused') return trouble.mayPass
  return silent || trouble?.kind === 'unreachable' || trouble?.kind === 'lost'
}
