/** The Attention view: its controls, the flow of matrices, the explanation beside it, and the article below. */
import { exportBar } from '../export/export-bar.ts'
import { h } from '../page/dom.ts'
import { Notice } from '../page/notice.ts'
import { PATIENCE_MS } from '../page/patience.ts'
import { watchTheme } from '../page/theme.ts'
import type { View } from '../page/view.ts'
import { say } from '../words/language.ts'
import { articlePanel } from './article.ts'
import { ExplanationPanel } from './explanation.ts'
import { exportableAttention } from './exportable.ts'
import { Flow } from './flow.ts'
import type { AttentionModel, Trouble } from './model.ts'
import { setupPanel } from './setup.ts'

export function attentionView(model: AttentionModel, tables: boolean): View {
  const setup = setupPanel(model)
  const flow = new Flow(model, tables)
  const explanation = new ExplanationPanel(model)
  const notice = new Notice()
  const element = h(
    'div',
    { class: 'view attention-view' },
    h('p', { class: 'lead' }, say().attentionLead),
    setup.element,
    notice.element,
    h('div', { class: 'workbench' }, flow.element, explanation.element),
    exportBar(exportableAttention(model)),
    articlePanel(state => {
      model.state.set(state)
      flow.element.scrollIntoView({ block: 'start' })
    }),
  )
  const update = () => {
    setup.sync(model.state.value)
    flow.update()
    explanation.update()
    const { trouble } = model.answer.value
    const retry = { label: say().tryAgain, act: () => model.ask() }
    notice.show(trouble && textOf(trouble), trouble && mayPass(trouble) ? retry : undefined)
  }
  const ends = [
    model.state.watch((state, before) => {
      const { cell, ...rest } = state
      const pointedOnly = Object.entries(rest).every(
        ([key, value]) => before[key as keyof typeof before] === value,
      )
      if (pointedOnly) {
        flow.frame()
        explanation.update()
      } else update()
    }),
    model.answer.watch(update),
    watchTheme(update),
  ]
  document.fonts.addEventListener('loadingdone', update)
  update()
  return {
    element,
    dispose() {
      document.fonts.removeEventListener('loadingdone', update)
      flow.dispose()
      for (const end of ends) end()
    },
  }
}

function textOf(trouble: Trouble): string | undefined {
  const words = say()
  switch (trouble.kind) {
    case 'empty':
      return words.emptySentence
    case 'locked':
      return undefined
    case 'refused':
      return trouble.detail
    case 'unreachable':
      return words.unreachable
    case 'silent':
      return words.serverSilent(PATIENCE_MS / 1000)
  }
}

function mayPass(trouble: Trouble): boolean {
  if (trouble.kind === 'refused') return trouble.mayPass
  return trouble.kind === 'unreachable' || trouble.kind === 'silent'
}
