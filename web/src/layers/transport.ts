/** Pause, cancel, back and forth: the buttons and the slider of a run, and how far it is. */
import { format } from '../matrix/format.ts'
import { announce } from '../page/announce.ts'
import { h } from '../page/dom.ts'
import { check } from '../page/fields.ts'
import { say } from '../words/language.ts'
import type { LayersModel } from './model.ts'
import type { RunStatus } from './run-status.ts'

export class Transport {
  readonly #model: LayersModel
  readonly #pause = h('button', { type: 'button', class: 'button', id: 'pause' })
  readonly #cancel = h('button', { type: 'button', class: 'button', id: 'cancel' }, say().cancel)
  readonly #slider = h('input', { type: 'range', id: 'scrub', min: 0, step: 1 })
  readonly #progress = h('progress', { 'aria-label': say().progress })
  readonly #fact = h('p', { class: 'run-fact' })
  readonly #log
  readonly #fold
  readonly element: HTMLElement

  constructor(model: LayersModel) {
    this.#model = model
    this.#log = check(say().logScale, 'log', log => model.state.set({ log }))
    this.#fold = check(say().foldSpecial, 'fold', fold =>
      model.state.set({ fold, row: model.drawn.moved(model.state.value.row, fold) }),
    )
    this.#pause.addEventListener('click', () => {
      if (model.status.value.paused) model.resume()
      else model.pause()
    })
    this.#cancel.addEventListener('click', () => model.cancel())
    this.#slider.addEventListener('input', () => {
      const value = this.#slider.valueAsNumber
      model.scrub(value >= model.status.value.frames ? undefined : value)
    })
    this.element = h(
      'div',
      { class: 'transport', role: 'group', 'aria-label': say().runControls },
      this.#pause,
      this.#cancel,
      h('div', { class: 'field scrub' }, h('label', { for: 'scrub' }, say().scrub), this.#slider),
      this.#log.element,
      this.#fold.element,
      this.#progress,
      this.#fact,
    )
  }

  update(): void {
    const { status, state } = this.#model
    const now = status.value
    const running = now.phase === 'running'
    this.element.hidden = now.phase === 'idle'
    this.#pause.textContent = now.paused ? say().resume : say().pause
    this.#pause.setAttribute('aria-pressed', String(now.paused))
    this.#pause.disabled = !running
    this.#cancel.disabled = !running
    this.#slider.max = String(now.frames)
    this.#slider.value = String(now.shown ?? now.frames)
    this.#slider.disabled = now.frames === 0
    this.#slider.setAttribute('aria-valuetext', say().scrubbedTo(now.shown ?? now.frames, now.total))
    this.#progress.max = Math.max(1, now.total)
    this.#progress.value = now.frames
    this.#log.sync(state.value.log)
    this.#fold.sync(state.value.fold)
    this.#fold.element.hidden = !this.#model.drawn.hasSpecial
    const fact = factOf(now)
    if (fact === this.#fact.textContent) return
    this.#fact.textContent = fact
    if (now.phase !== 'running' || now.paused) announce(fact)
  }
}

function factOf(status: RunStatus): string {
  const { phase, paused, frames, total, loss, firstAfter, doneAfter } = status
  const words = say()
  const parts = [words.framesOf(frames, total)]
  if (phase === 'running' && paused) parts.push(words.paused)
  if (phase === 'cancelled') parts.push(words.cancelled)
  if (firstAfter !== undefined) parts.push(words.firstAfter(format(firstAfter, 0)))
  if (doneAfter !== undefined) parts.push(words.doneAfter(format(doneAfter, 0)))
  if (loss !== undefined) parts.push(words.meanLossIs(format(loss, 6)))
  return parts.join(' · ')
}
