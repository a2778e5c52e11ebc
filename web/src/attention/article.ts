/** The article's worked example with its right numbers, and its five errors. */
import { formula, h } from '../page/dom.ts'
import type { Words } from '../words/english.ts'
import { say } from '../words/language.ts'
import { ERRORS, example } from './examples.ts'
import type { AttentionState } from './state.ts'

export function articlePanel(show: (state: AttentionState) => void): HTMLElement {
  const words = say()
  const errors = ERRORS.map(({ name, example: id }, index) => {
    const text = (part: 'Title' | 'Printed' | 'Right' | 'Why') =>
      words[`${name}${part}` as keyof Words] as string
    return h(
      'li',
      { class: 'error-card' },
      h('h3', {}, text('Title')),
      h(
        'dl',
        {},
        h('div', {}, h('dt', {}, words.printed), h('dd', {}, h('s', {}, text('Printed')))),
        h('div', {}, h('dt', {}, words.right), h('dd', { class: 'right' }, text('Right'))),
      ),
      h('p', {}, ...formula(text('Why'))),
      h(
        'button',
        {
          type: 'button',
          class: 'button',
          'aria-label': words.showError(index + 1),
          'data-error': index + 1,
          onclick: () => show(example(id).state),
        },
        words.show,
      ),
    )
  })
  return h(
    'section',
    { class: 'article', 'aria-labelledby': 'article-title' },
    h('h2', { id: 'article-title' }, words.article),
    h('p', { class: 'lead' }, words.articleLead),
    h(
      'div',
      { class: 'facts' },
      h('p', {}, ...formula(words.articleFacts)),
      h(
        'ul',
        {},
        h('li', {}, words.articleScores),
        h('li', {}, words.articleWeights),
        h('li', {}, words.articleLoss),
        h('li', {}, words.articleGradients),
      ),
    ),
    h('ol', { class: 'errors' }, ...errors),
  )
}
