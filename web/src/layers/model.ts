/**
 * A run of a stack or a model over the stream, and everything that has come of it; lives on while views come and go. A layer is
 * acknowledged when it has been drawn: so the server is never further ahead than the page can show, and a pause is nothing
 * but acknowledgements that wait.
 */
import { onKey } from '../page/access.ts'
import { SEEDED } from '../page/address.ts'
import { knownModels, LESSON, models } from '../page/models.ts'
import { PATIENCE_MS } from '../page/patience.ts'
import { detailOf, type Problem } from '../page/problem.ts'
import { Store } from '../page/store.ts'
import type { Frame } from '../stream/connection.ts'
import type { Absence } from './absence.ts'
import { Acknowledgements } from './acknowledgements.ts'
import { placeOfLesson, resolved, stackOf } from './chosen.ts'
import { Drawn } from './drawn.ts'
import { plainTokens, toldTokens } from './fold.ts'
import { type FullMap, FullMaps, type MapName, mapIn, nameOf, refusalOf } from './full-maps.ts'
import { Line } from './line.ts'
import { startMessage } from './request.ts'
import type { Resume } from './resumption.ts'
import { NOTHING, type RunStatus, troubleOf } from './run-status.ts'
import { type LayersState, type Pass, tokensOf } from './state.ts'
import { TENSOR, type Thumbnail, thumbnailsOf } from './thumbnail.ts'

export class LayersModel {
  readonly state: Store<LayersState>
  readonly status = new Store<RunStatus>(NOTHING)
  readonly maps = new FullMaps()
  /** thumbnails in the order in which their frames came */
  readonly frames: Thumbnail[][] = []
  readonly drawn: Drawn
  /** what the run was started with: the controls may have moved on */
  of: LayersState | undefined
  /** draws a frame, some time soon */
  painter: ((thumbnails: Thumbnail[]) => Promise<void>) | undefined
  /** nothing was chosen: what the lesson is about is shown when its tokens are known */
  #isLesson = false
  #id = 0
  #began = 0
  readonly #line = new Line({
    running: () => (this.status.value.phase === 'running' ? String(this.#id) : undefined),
    onFrame: frame => this.#receive(frame),
    onRefused: problem => this.#fail(problem),
    onLost: heard => this.#lost(heard),
    onMoved: from => this.#goOn(from),
  })
  readonly #acknowledgements = new Acknowledgements(layers => {
    this.#send({ type: 'credit', add: layers })
    this.#awaitAnswer()
  })
  #patience: ReturnType<typeof setTimeout> | undefined

  constructor(state: LayersState) {
    this.state = new Store(state)
    this.drawn = new Drawn(state.fold)
    this.state.watch(({ fold }) => {
      this.drawn.fold = fold
    })
    onKey(() => {
      if (this.status.value.trouble?.kind === 'locked') this.again()
    })
  }

  /** What is on screen: the run, and how it is looked at. Controls that were moved since are not part of it. */
  get shown(): LayersState {
    const { log, fold, selected, row } = this.state.value
    return this.of === undefined ? this.state.value : { ...this.of, log, fold, selected, row, run: true }
  }

  /** Starts anew; a run that is under way is cancelled. */
  start(): void {
    const { model, sentence, selected } = this.state.value
    // what a model is made of is told by the list
    if (model !== SEEDED && models.value.list === undefined) {
      void knownModels().then(() => this.start())
      return
    }
    this.#leave()
    this.#id++
    this.#began = performance.now()
    this.#acknowledgements.begin()
    this.frames.length = 0
    this.maps.clear()
    this.of = resolved(this.state.value)
    this.#isLesson = this.of.model === LESSON && sentence === undefined && selected === undefined
    this.drawn.tokens = plainTokens(this.of.model ? [] : tokensOf(this.of))
    const passes = this.of.backward ? 2 : 1
    this.status.set({ ...NOTHING, phase: 'running', total: passes * this.of.layers })
    this.state.set({ run: true })
    this.#line.prepare()
    this.#line.send(startMessage(String(this.#id), this.of))
    this.#awaitAnswer()
  }

  /** Runs what is on screen once more, over a new connection: the old one may be dead without anybody having said so. */
  again(): void {
    this.#line.close()
    const { model, sentence, ...others } = this.shown
    // the sizes of a model are no settings of the stack
    this.state.set(model ? { model, sentence } : { model, sentence, ...others })
    this.start()
  }

  /** On another server, behind the frames that have come; they have the same bits there. */
  #goOn(from: Resume): void {
    const id = String(++this.#id)
    this.#acknowledgements.begin()
    this.#line.send({ ...startMessage(id, this.shown), resume: { ...from, id } })
  }

  /** The maps of a run stay on the server until it is told that nobody will fetch them. */
  #leave(): void {
    const { phase } = this.status.value
    if (phase === 'running') this.#send({ type: 'cancel' })
    if (phase === 'done') this.#send({ type: 'release' })
  }

  cancel(): void {
    this.#send({ type: 'cancel' })
    // a server that does not answer will not confirm this either, nor one that is still looked for
    if (this.status.value.silent || this.#line.isMissing) {
      this.#line.close()
      this.status.set({ phase: 'cancelled', paused: false })
      this.maps.abandon()
      this.#awaitAnswer()
    }
  }

  pause(): void {
    this.status.set({ paused: true })
  }

  resume(): void {
    this.status.set({ paused: false })
    this.#acknowledgements.resume()
  }

  /** Shows the run as it was after a number of frames; `undefined` follows it. */
  scrub(shown: number | undefined): void {
    this.status.set({ shown })
  }

  thumbnail(pass: Pass, layer: number, head: number): Thumbnail | undefined {
    const isIt = (each: Thumbnail) => each.pass === pass && each.layer === layer && each.head === head
    const found = this.frames.flat().find(isIt)
    return found && this.drawn.thumbnail(found)
  }

  /** A map that is here, as it is drawn. */
  map(name: MapName): FullMap | undefined {
    return this.drawn.map(this.maps.get(name))
  }

  /** Asks for a map that is not here, where anybody can send it, and says why it is not; nothing where it is. */
  seek(name: MapName): Absence | undefined {
    if (this.maps.get(name) !== undefined) return undefined
    const refusal = this.maps.refusal(name)
    if (refusal !== undefined) return refusal
    const { pass, layer, head } = name
    if (this.thumbnail(pass, layer, head) === undefined) {
      return { kind: this.status.value.phase === 'running' ? 'later' : 'never' }
    }
    if (!this.#line.isOpen) return { kind: 'lost' }
    if (this.maps.ask(name)) {
      this.#send({ type: 'fetch', layer, head, tensor: TENSOR[pass], stack: stackOf(this.of) })
      this.#awaitAnswer()
    }
    return { kind: 'coming' }
  }

  #send(message: { type: string; [field: string]: unknown }): void {
    this.#line.send({ ...message, id: String(this.#id) })
  }

  /** From here on the reader is told when nothing comes, if anything must. */
  #awaitAnswer(): void {
    clearTimeout(this.#patience)
    if (this.status.value.silent) this.status.set({ silent: false })
    const running = this.status.value.phase === 'running' && !this.#acknowledgements.isExhausted
    if (!running && !this.maps.awaited) return
    this.#patience = setTimeout(() => this.status.set({ silent: true }), PATIENCE_MS)
  }

  #receive(frame: Frame): void {
    if (frame.id !== undefined && frame.id !== String(this.#id)) return
    const after = performance.now() - this.#began
    switch (frame.type) {
      case 'accepted':
        this.#told(frame)
        break
      case 'layer':
        this.#layer(frame, after)
        break
      case 'map':
        this.#full(frame)
        break
      case 'done':
        this.status.set({
          phase: 'done',
          loss: frame.loss as number | undefined,
          doneAfter: after,
          paused: false,
        })
        break
      case 'cancelled':
        this.status.set({ phase: 'cancelled', paused: false })
        break
      case 'error':
        this.#refused(frame)
        break
    }
    this.#awaitAnswer()
  }

  /** What a model has made of the text. */
  #told({ tokens }: Frame): void {
    if (tokens === undefined) return
    this.drawn.tokens = toldTokens(tokens, this.of?.sentence ?? '')
    if (this.#isLesson) this.state.set(placeOfLesson(this.drawn.strings))
    // on another server the run goes on as the reader looks at it
    this.#isLesson = false
  }

  #layer(frame: Frame, after: number): void {
    this.#acknowledgements.came()
    if (frame.stack !== stackOf(this.of)) {
      this.#acknowledgements.drawn(false)
      return
    }
    const thumbnails = thumbnailsOf(frame)
    this.frames.push(thumbnails)
    const { firstAfter } = this.status.value
    this.status.set({ frames: this.frames.length, firstAfter: firstAfter ?? after })
    const id = this.#id
    void (this.painter?.(thumbnails) ?? Promise.resolve()).then(() => {
      if (id !== this.#id) return
      this.#acknowledgements.drawn(this.status.value.paused)
    })
  }

  #full(frame: Frame): void {
    const map = mapIn(frame)
    if (map !== undefined) this.maps.add(nameOf(frame), map)
  }

  /** Without the id of the run the error is not the run's: a fetch failed, or a message was wrong, and the run goes on. */
  #refused(frame: Frame): void {
    const problem = (frame.problem ?? {}) as Problem
    const detail = detailOf(problem) || frame.type
    const fetch = frame.fetch as { id?: string } | undefined
    const refusal = refusalOf(problem, detail)
    if (fetch !== undefined) {
      if (fetch.id === String(this.#id)) this.maps.refuse(refusal, nameOf(fetch))
    } else if (frame.id !== undefined) {
      this.#fail(problem, detail)
    } else if (this.maps.awaited) this.maps.refuse(refusal)
    else this.status.set({ trouble: { kind: 'message', detail } })
  }

  #fail(problem: Problem, detail = detailOf(problem)): void {
    this.status.set({ phase: 'failed', trouble: troubleOf(problem, detail), paused: false })
  }

  #lost(heard: boolean): void {
    const { phase, trouble } = this.status.value
    if (phase === 'running') {
      const detail = trouble?.kind === 'message' ? trouble.detail : ''
      this.status.set({
        phase: 'failed',
        trouble: heard ? { kind: 'lost', detail } : { kind: 'unreachable' },
        paused: false,
      })
    }
    this.maps.abandon()
    this.#awaitAnswer()
  }
}
