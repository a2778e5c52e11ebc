/**
 * A run of a stack over the stream, and everything that has come of it; lives on while views come and go. A layer is
 * acknowledged when it has been drawn: so the server is never further ahead than the page can show, and a pause is nothing
 * but acknowledgements that wait.
 */
import { Store } from '../page/store.ts'
import { Connection, type Frame, streamUrl } from '../stream/connection.ts'
import type { FrameTensor } from '../stream/read-safetensors.ts'
import { startMessage } from './request.ts'
import type { LayersState, Pass } from './state.ts'
import { TENSOR, type Thumbnail, thumbnailsOf } from './thumbnail.ts'

export type Phase = 'idle' | 'running' | 'done' | 'cancelled' | 'failed'

export interface RunStatus {
  phase: Phase
  paused: boolean
  /** layer frames that have come */
  frames: number
  /** of how many; both passes together */
  total: number
  loss: number | undefined
  /** from the start to the first layer, and to the end, in milliseconds */
  firstAfter: number | undefined
  doneAfter: number | undefined
  problem: string | undefined
  /** how many frames are shown; all of them unless the reader went back */
  shown: number | undefined
}

const NOTHING: RunStatus = {
  phase: 'idle',
  paused: false,
  frames: 0,
  total: 0,
  loss: undefined,
  firstAfter: undefined,
  doneAfter: undefined,
  problem: undefined,
  shown: undefined,
}

/** A map as it is, one number a pair of tokens. */
export interface FullMap {
  rows: number
  cols: number
  data: Float32Array | Float64Array
}

/** Large maps take megabytes: only the last ones looked at are kept. */
const KEPT_MAPS = 6

export class LayersModel {
  readonly state: Store<LayersState>
  readonly status = new Store<RunStatus>(NOTHING)
  /** thumbnails in the order in which their frames came */
  readonly frames: Thumbnail[][] = []
  /** what the run was started with: the controls may have moved on */
  of: LayersState | undefined
  /** draws a frame, some time soon */
  painter: ((thumbnails: Thumbnail[]) => Promise<void>) | undefined
  #connection: Connection | undefined
  #id = 0
  #began = 0
  #owed = 0
  readonly #maps = new Map<string, FullMap>()
  readonly #asked = new Map<string, ((map: FullMap) => void)[]>()

  constructor(state: LayersState) {
    this.state = new Store(state)
  }

  /** What is on screen: the run, and how it is looked at. Controls that were moved since are not part of it. */
  get shown(): LayersState {
    const { log, selected, row } = this.state.value
    return this.of === undefined ? this.state.value : { ...this.of, log, selected, row, run: true }
  }

  /** Starts anew; a run that is under way is cancelled. */
  start(): void {
    this.#leave()
    this.#id++
    this.#began = performance.now()
    this.#owed = 0
    this.frames.length = 0
    this.#maps.clear()
    this.#asked.clear()
    this.of = this.state.value
    const passes = this.of.backward ? 2 : 1
    this.status.set({ ...NOTHING, phase: 'running', total: passes * this.of.layers })
    this.state.set({ run: true })
    if (this.#connection === undefined || this.#connection.closed) {
      const connection: Connection = new Connection(streamUrl(), {
        onFrame: frame => this.#receive(frame),
        onClose: () => {
          if (this.#connection === connection) this.#lost()
        },
      })
      this.#connection = connection
    }
    this.#connection.send(startMessage(String(this.#id), this.of))
  }

  /** The maps of a run stay on the server until it is told that nobody will fetch them. */
  #leave(): void {
    const { phase } = this.status.value
    if (phase === 'running') this.#send({ type: 'cancel' })
    if (phase === 'done') this.#send({ type: 'release' })
  }

  cancel(): void {
    this.#send({ type: 'cancel' })
  }

  pause(): void {
    this.status.set({ paused: true })
  }

  resume(): void {
    this.status.set({ paused: false })
    if (this.#owed > 0) this.#send({ type: 'credit', add: this.#owed })
    this.#owed = 0
  }

  /** Shows the run as it was after so many frames; `undefined` follows it. */
  scrub(shown: number | undefined): void {
    this.status.set({ shown })
  }

  thumbnail(pass: Pass, layer: number, head: number): Thumbnail | undefined {
    for (const frame of this.frames) {
      const found = frame.find(each => each.pass === pass && each.layer === layer && each.head === head)
      if (found !== undefined) return found
    }
    return undefined
  }

  /** The full map, if it is here already. */
  map(pass: Pass, layer: number, head: number): FullMap | undefined {
    return this.#maps.get(`${pass} ${layer} ${head}`)
  }

  /** Asks for a full map; it comes some time later, or never where the run is replaced by another. */
  fetchMap(pass: Pass, layer: number, head: number): Promise<FullMap> {
    const key = `${pass} ${layer} ${head}`
    const known = this.#maps.get(key)
    if (known !== undefined) return Promise.resolve(known)
    return new Promise(resolve => {
      const waiting = this.#asked.get(key)
      if (waiting !== undefined) waiting.push(resolve)
      else {
        this.#asked.set(key, [resolve])
        this.#send({ type: 'fetch', layer, head, tensor: TENSOR[pass] })
      }
    })
  }

  #send(message: { type: string; [field: string]: unknown }): void {
    this.#connection?.send({ ...message, id: String(this.#id) })
  }

  #receive(frame: Frame): void {
    if (frame.id !== undefined && frame.id !== String(this.#id)) return
    const after = performance.now() - this.#began
    switch (frame.type) {
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
        this.#failed(frame)
        break
    }
  }

  #layer(frame: Frame, after: number): void {
    const thumbnails = thumbnailsOf(frame)
    this.frames.push(thumbnails)
    const { firstAfter } = this.status.value
    this.status.set({ frames: this.frames.length, firstAfter: firstAfter ?? after })
    const id = this.#id
    void (this.painter?.(thumbnails) ?? Promise.resolve()).then(() => {
      if (id !== this.#id) return
      if (this.status.value.paused) this.#owed++
      else this.#send({ type: 'credit', add: 1 })
    })
  }

  #full(frame: Frame): void {
    const pass: Pass = frame.tensor === TENSOR.backward ? 'backward' : 'forward'
    const tensor: FrameTensor | undefined = Object.values(frame.tensors)[0]
    if (tensor === undefined || tensor.data instanceof Uint8Array) return
    const [rows, cols] = tensor.shape.slice(-2) as [number, number]
    const key = `${pass} ${frame.layer} ${frame.head}`
    const map = { rows, cols, data: tensor.data }
    this.#maps.set(key, map)
    for (const old of [...this.#maps.keys()].slice(0, -KEPT_MAPS)) this.#maps.delete(old)
    for (const resolve of this.#asked.get(key) ?? []) resolve(map)
    this.#asked.delete(key)
  }

  #failed(frame: Frame): void {
    const problem = frame.problem as
      | { detail?: string; errors?: { path: string; message: string }[] }
      | undefined
    const errors = problem?.errors?.map(({ path, message }) => `${path}: ${message}`).join('\n')
    this.status.set({ phase: 'failed', problem: errors || problem?.detail || frame.type, paused: false })
  }

  #lost(): void {
    this.#connection = undefined
    if (this.status.value.phase === 'running')
      this.status.set({ phase: 'failed', problem: 'unreachable', paused: false })
  }
}
