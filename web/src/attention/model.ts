/** The state of the Attention view and the server's answer to it; lives on while views come and go. */
import { onKey } from '../page/access.ts'
import { announce } from '../page/announce.ts'
import { Latest } from '../page/latest.ts'
import { knownModels } from '../page/models.ts'
import { PATIENCE_MS } from '../page/patience.ts'
import { Store } from '../page/store.ts'
import { say } from '../words/language.ts'
import { cellOfLesson, modelOf, resolved } from './chosen.ts'
import { computeHead } from './model-request.ts'
import { type AttentionResult, compute, ProblemError } from './request.ts'
import { type AttentionState, inputsOf } from './state.ts'

export type Trouble =
  /** there is no word to compute anything of */
  | { kind: 'empty' }
  /** in the server's words; it may pass when it is asked again */
  | { kind: 'refused'; detail: string; mayPass: boolean }
  /** it wants a key, and what helps is the field for that */
  | { kind: 'locked' }
  /** it cannot be reached, or what it said was no answer */
  | { kind: 'unreachable' }
  /** it has been asked, and nothing has come for a while */
  | { kind: 'silent' }

export interface Answered {
  result: AttentionResult | undefined
  trouble: Trouble | undefined
}

export class AttentionModel {
  readonly state: Store<AttentionState>
  readonly answer = new Store<Answered>({ result: undefined, trouble: undefined })
  readonly #latest = new Latest()
  #asking = new AbortController()

  constructor(state: AttentionState) {
    this.state = new Store(state)
    this.state.watch((value, before) => {
      if (asksAnew(value, before)) this.ask()
    })
    onKey(() => {
      if (this.answer.value.trouble?.kind === 'locked') this.ask()
    })
    this.ask()
  }

  /** What is on screen, with nothing left open. */
  get shown(): AttentionState {
    return resolved(this.state.value)
  }

  /** The sentence that nobody has written is in the language of the page. */
  translate(): void {
    if (!this.shown.model || this.state.value.sentence !== undefined) return
    this.state.set({ cell: undefined })
    this.ask()
  }

  /** Where nothing is pointed at yet, what the lesson is about. */
  #point({ inputs }: AttentionResult): void {
    if (this.state.value.cell !== undefined) return
    const cell = cellOfLesson(this.state.value, inputs.queries)
    if (cell !== undefined) this.state.set({ cell })
  }

  ask(): void {
    // an answer that is overdue is not waited for when another is asked for
    if (this.answer.value.trouble?.kind === 'silent') this.#asking.abort()
    this.#latest.run(async () => {
      if (modelOf(this.state.value) === undefined) await knownModels()
      const state = this.shown
      if (isEmpty(state)) {
        this.answer.set({ result: undefined, trouble: { kind: 'empty' } })
        return
      }
      this.#asking = new AbortController()
      const { signal } = this.#asking
      const patience = setTimeout(() => this.answer.set({ trouble: { kind: 'silent' } }), PATIENCE_MS)
      try {
        const result = await (state.model ? computeHead : compute)(state, signal)
        this.answer.set({ result, trouble: undefined })
        this.#point(result)
        const loss = result.gradients && say().lossIs(result.gradients.loss.toFixed(6))
        announce(
          [say().computed(result.weights.length, result.inputs.keys.length), loss].filter(Boolean).join(' '),
          900,
        )
      } catch (error) {
        if (!signal.aborted) this.answer.set({ result: undefined, trouble: troubleOf(error) })
      } finally {
        clearTimeout(patience)
      }
    })
  }
}

function isEmpty(state: AttentionState): boolean {
  return state.model ? state.sentence?.trim() === '' : inputsOf(state).queries.length === 0
}

function troubleOf(error: unknown): Trouble {
  if (!(error instanceof ProblemError)) return { kind: 'unreachable' }
  if (error.wantsKey) return { kind: 'locked' }
  return { kind: 'refused', detail: error.message, mayPass: error.mayPass }
}

/** Pointing at a cell asks the server nothing. */
function asksAnew(value: AttentionState, before: AttentionState): boolean {
  return (Object.keys(value) as (keyof AttentionState)[]).some(
    key => key !== 'cell' && value[key] !== before[key],
  )
}
