/** The full maps of a run: those that are here, those on their way, and why others do not come. */
import type { Problem } from '../page/problem.ts'
import type { Frame } from '../stream/connection.ts'
import type { Pass } from './state.ts'
import { TENSOR } from './thumbnail.ts'

/** One number a pair of tokens. */
export interface FullMap {
  rows: number
  cols: number
  data: Float32Array | Float64Array
}

export interface MapName {
  pass: Pass
  layer: number
  head: number
}

/** Why the server did not send a map: it no longer keeps those of the run, or it says something else. */
export type Refusal = { kind: 'gone' } | { kind: 'refused'; detail: string }

/** The server keeps the maps of a run for a bounded time. */
export function refusalOf({ errors }: Problem, detail: string): Refusal {
  return errors?.some(({ path }) => path === '/id') ? { kind: 'gone' } : { kind: 'refused', detail }
}

/** The map that a message of the stream is about. */
export function nameOf(message: { [field: string]: unknown }): MapName {
  return {
    pass: message.tensor === TENSOR.backward ? 'backward' : 'forward',
    layer: message.layer as number,
    head: message.head as number,
  }
}

export function mapIn({ tensors }: Frame): FullMap | undefined {
  const tensor = Object.values(tensors)[0]
  if (tensor === undefined || tensor.data instanceof Uint8Array) return undefined
  const [rows, cols] = tensor.shape.slice(-2) as [number, number]
  return { rows, cols, data: tensor.data }
}

/** Large maps take megabytes: only the last ones looked at are kept. */
const KEPT = 6

export class FullMaps {
  readonly #here = new Map<string, FullMap>()
  readonly #asked = new Set<string>()
  readonly #refused = new Map<string, Refusal>()
  readonly #watchers = new Set<() => void>()

  /** Calls whenever a map has come, or is known not to come. Returns what ends that. */
  watch(watcher: () => void): () => void {
    this.#watchers.add(watcher)
    return () => void this.#watchers.delete(watcher)
  }

  get(name: MapName): FullMap | undefined {
    return this.#here.get(keyOf(name))
  }

  refusal(name: MapName): Refusal | undefined {
    return this.#refused.get(keyOf(name))
  }

  /** Whether any is on its way. */
  get awaited(): boolean {
    return this.#asked.size > 0
  }

  /** Notes that a map is asked for; false where it has been already. */
  ask(name: MapName): boolean {
    const key = keyOf(name)
    if (this.#asked.has(key)) return false
    this.#asked.add(key)
    return true
  }

  add(name: MapName, map: FullMap): void {
    const key = keyOf(name)
    this.#asked.delete(key)
    this.#refused.delete(key)
    this.#here.set(key, map)
    for (const old of [...this.#here.keys()].slice(0, -KEPT)) this.#here.delete(old)
    this.#tell()
  }

  /** The map will not come, unless it is asked for again; without a name, none of those on their way will. */
  refuse(refusal: Refusal, name?: MapName): void {
    for (const key of name === undefined ? [...this.#asked] : [keyOf(name)]) {
      this.#asked.delete(key)
      this.#refused.set(key, refusal)
    }
    this.#tell()
  }

  /** Forgets the refusals, so that the maps are asked for again. */
  retry(): void {
    this.#refused.clear()
    this.#tell()
  }

  /** There is nobody left who could send those that are on their way. */
  abandon(): void {
    this.#asked.clear()
    this.#tell()
  }

  clear(): void {
    for (const all of [this.#here, this.#asked, this.#refused]) all.clear()
  }

  #tell(): void {
    for (const watcher of [...this.#watchers]) watcher()
  }
}

function keyOf({ pass, layer, head }: MapName): string {
  return `${pass} ${layer} ${head}`
}
