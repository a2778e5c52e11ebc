/** A program that evaluates a request with its gradients, and then its loss alone, again and again, with inputs that are moved a little. */
import type { Ref, Step } from '../../../workers/contract.ts'
import type { ArgSpecs, ArgsOf, Op, RefsOf, StepOf, TensorSpecs } from '../../../workers/ops/define-op.ts'
import { lossValue } from '../../../workers/ops/differences/op.ts'
import type { TensorSource } from '../../formats/tensor.ts'
import type { LossTerm, OutputTensor } from '../../layers/outputs.ts'
import { RequestProgram, type StepOptions } from '../../layers/program-builder.ts'

/** An input as the request has it, and its place in the evaluations of the loss. */
export interface Moved {
  /** where it is read, or the number of the parameter that is drawn */
  key: string
  x: Ref
  y: Ref
}

/** What the first evaluation has given. */
export interface Evaluated {
  /** by name */
  outputs: Map<string, OutputTensor>
}

type Pass = 'gradients' | 'loss' | undefined

export class CheckedProgram extends RequestProgram {
  /** every input that has numbers, by where it is read */
  readonly moved = new Map<string, Moved>()
  /** stages that evaluate the loss from the moved inputs */
  #loop: Step[][] = []
  /** evaluations: what is done before each, and what is done behind it */
  #rounds: { before: Step[]; after: Step[] }[] = []
  #pass: Pass
  #inputs = new Map<string, Ref>()
  #drawn: Ref[] = []
  #draws = 0
  #terms: LossTerm[] = []
  readonly #written = new Map<Step, Ref[]>()

  override lossTerm(term: LossTerm): void {
    this.#terms.push(term)
  }

  /** Compiles the request with its gradients; what it would answer stays in the program. */
  *evaluate(compile: () => Generator<void> | void): Generator<void, Evaluated> {
    yield* this.#compile('gradients', compile)
    const outputs = new Map(this.outputs.splice(0).map(output => [output.name, output]))
    this.#forgetAnswers([...outputs.values()])
    this.#terms = []
    return { outputs }
  }

  /**
   * Compiles it once more, over inputs that may be moved, and keeps of its steps those that the loss needs. The result makes the step
   * that writes the loss into `value`.
   */
  *evaluateLoss(compile: () => Generator<void> | void): Generator<void, (value: Ref) => Step> {
    const before = this.stages.length
    yield* this.#compile('loss', compile)
    const scalars = this.scalars.find(({ name }) => name === 'loss')?.buffer
    this.#forgetAnswers(this.outputs.splice(0))
    const named: Record<string, Ref | undefined> = { scalars }
    const args = { heads: 1, queries: 1, terms: 0 }
    for (const { of, value, gradient, rows, qLengths } of this.#terms) {
      named[of] = value
      named[GRADIENTS[of]] = gradient
      args.terms += this.buffers[value].length
      if (rows !== undefined) Object.assign(args, rows)
      if (of === 'logsumexp') named.qLengths = qLengths
    }
    this.#loop = this.#neededFor(this.stages.splice(before), Object.values(named))
    return value => this.step(lossValue, { ...named, value }, args)
  }

  /** An evaluation of the loss: `before` moves inputs. */
  round(before: Step[], value: Step): void {
    this.#rounds.push({ before, after: [value] })
  }

  /** Steps of all evaluations of the loss. */
  get loopSteps(): number {
    return this.#loop.reduce((sum, stage) => sum + stage.length, 0)
  }

  /** The evaluations follow one another; they share the steps between inputs and loss. */
  override *finishing(): Generator<void, void> {
    yield* super.finishing()
    const loop = this.#loop
      .map(stage => stage.filter(({ units }) => units > 0))
      .filter(({ length }) => length > 0)
    for (const [at, { before, after }] of this.#rounds.entries()) {
      const moves = before.filter(({ units }) => units > 0)
      if (moves.length > 0) this.stages.push(moves)
      this.stages.push(...loop, after)
      if (at % PAUSE_ROUNDS === 0) yield
    }
  }

  override input(pointer: string, source: TensorSource): Ref {
    return this.#moved(pointer, () => super.input(pointer, source))
  }

  override inputMask(pointer: string, source: TensorSource): Ref {
    return this.#moved(pointer, () => super.inputMask(pointer, source))
  }

  override step<N extends string, T extends TensorSpecs, A extends ArgSpecs>(
    op: Op<N, T, A>,
    tensors: RefsOf<T>,
    args: ArgsOf<A>,
    options: StepOptions = {},
  ): StepOf<Op<N, T, A>> {
    if (op.name === 'initialise' && this.#pass !== undefined) {
      const { into } = tensors as unknown as { into: Ref }
      if (this.#pass === 'gradients') this.#drawn.push(into)
      else this.#move(`draw ${this.#draws}`, this.#drawn[this.#draws++], into)
    }
    const step = super.step(op, tensors, args, options)
    if (this.#pass === 'loss') {
      const named = tensors as unknown as Record<string, Ref | undefined>
      const written = Object.keys(op.tensors).filter(name => !op.tensors[name].startsWith('in'))
      this.#written.set(
        step as unknown as Step,
        written.flatMap(name => named[name] ?? []),
      )
    }
    return step
  }

  override stage(...steps: Step[]): void {
    // a drawn parameter is what the first evaluation has drawn, moved
    super.stage(...(this.#pass === 'loss' ? steps.filter(({ op }) => op !== 'initialise') : steps))
  }

  *#compile(pass: Pass, compile: () => Generator<void> | void): Generator<void> {
    this.#pass = pass
    const compiling = compile()
    if (compiling !== undefined) yield* compiling
    this.#pass = undefined
  }

  #forgetAnswers(outputs: OutputTensor[]): void {
    for (const name of Object.keys(this.facts)) delete this.facts[name]
    for (const { buffer } of [...outputs, ...this.scalars.splice(0)]) {
      this.buffers[this.#whole(buffer)].keep = false
    }
  }

  #moved(pointer: string, read: () => Ref): Ref {
    const key = this.inputsBelow + pointer
    if (this.#pass !== 'loss') {
      const x = read()
      this.#inputs.set(key, x)
      return x
    }
    const there = this.moved.get(key)
    if (there !== undefined) return there.y
    const x = this.#inputs.get(key) as Ref
    const { type, length } = this.buffers[x]
    if (type !== this.precision) return x
    return this.#move(key, x, this.buffer({ type, length }))
  }

  #move(key: string, x: Ref, y: Ref): Ref {
    this.moved.set(key, { key, x, y })
    return y
  }

  /** The drawn parameters, in the order of their drawing. */
  get drawn(): readonly Ref[] {
    return this.#drawn
  }

  #whole(buffer: Ref): Ref {
    return this.buffers[buffer].within?.buffer ?? buffer
  }

  /** Of stages, from the last to the first, the steps that write what is needed. */
  #neededFor(stages: Step[][], results: (Ref | undefined)[]): Step[][] {
    const needed = new Set(results.flatMap(ref => (ref === undefined ? [] : this.#whole(ref))))
    const kept: Step[][] = []
    for (const stage of stages.reverse()) {
      const some = stage.filter(step => this.#written.get(step)?.some(ref => needed.has(this.#whole(ref))))
      for (const { tensors, nonFinite } of some) {
        for (const ref of [...Object.values<Ref | undefined>(tensors), nonFinite]) {
          if (ref !== undefined) needed.add(this.#whole(ref))
        }
      }
      if (some.length > 0) kept.unshift(some)
    }
    return kept
  }
}

/** Evaluations between two pauses. */
const PAUSE_ROUNDS = 256

const GRADIENTS = { output: 'gradOutput', weights: 'gradWeights', logsumexp: 'gradLogsumexp' } as const
