/** The state of the Attention view and the server's answer to it; lives on while views come and go. */
import { announce } from '../page/announce.ts'
import { Latest } from '../page/latest.ts'
import { Store } from '../page/store.ts'
import { say } from '../words/language.ts'
import { type AttentionResult, compute, ProblemError } from './request.ts'
import { type AttentionState, inputsOf } from './state.ts'

export interface Answered {
  result: AttentionResult | undefined
  problem: string | undefined
}

export class AttentionModel {
  readonly state: Store<AttentionState>
  readonly answer = new Store<Answered>({ result: undefined, problem: undefined })
  readonly #latest = new Latest()

  constructor(state: AttentionState) {
    this.state = new Store(state)
    this.state.watch((value, before) => {
      if (asksAnew(value, before)) this.#ask()
    })
    this.#ask()
  }

  #ask(): void {
    this.#latest.run(async () => {
      const state = this.state.value
      if (inputsOf(state).queries.length === 0) {
        this.answer.set({ result: undefined, problem: say().emptySentence })
        return
      }
      try {
        const result = await compute(state)
        this.answer.set({ result, problem: undefined })
        const loss = result.gradients && say().lossIs(result.gradients.loss.toFixed(6))
        announce(
          [say().computed(result.weights.length, result.inputs.keys.length), loss].filter(Boolean).join(' '),
          900,
        )
      } catch (error) {
        const problem = error instanceof ProblemError ? error.message : say().unreachable
        this.answer.set({ result: undefined, problem })
      }
    })
  }
}

/** Pointing at a cell asks the server nothing. */
function asksAnew(value: AttentionState, before: AttentionState): boolean {
  return (Object.keys(value) as (keyof AttentionState)[]).some(
    key => key !== 'cell' && value[key] !== before[key],
  )
}
