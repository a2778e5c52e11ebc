/** A request's bytes as a tree with tensors located in it, and the shared memory that goes with them. */
import type { FastifyRequest } from 'fastify'
import type { JsonScan } from '../../workers/text/json-scan.ts'
import type { Region } from '../engine/arena.ts'
import type { Engine } from '../engine/engine.ts'
import { type BodyFormat, formatOf, MEDIA_TYPES, parseBody } from '../formats/body.ts'
import { Problem } from '../problem.ts'
import type { BodyReader, SharedBody } from './read-body.ts'

/** JSON text up to this size is scanned on the main thread: less than what a crossing to a worker takes. */
export const SCAN_HERE = 64 * 1024

export interface RouteContext {
  compute: Engine
  bodies: BodyReader
  deadlineSeconds: number
}

/** A body's bytes, and memory that goes with them; `release` frees all of it. */
export class Body {
  readonly tree: unknown
  readonly format: BodyFormat
  readonly #regions: Region[]
  readonly #compute: Engine

  private constructor(tree: unknown, format: BodyFormat, regions: Region[], compute: Engine) {
    this.tree = tree
    this.format = format
    this.#regions = regions
    this.#compute = compute
  }

  static async read(request: FastifyRequest, { compute, bodies }: RouteContext): Promise<Body> {
    const format = formatOf(request.headers['content-type'])
    const coding = request.headers['content-encoding'] ?? 'identity'
    if (format === undefined || coding !== 'identity') {
      const got =
        coding === 'identity' ? (request.headers['content-type'] ?? 'none') : `${coding} content encoding`
      throw new Problem(
        'UNSUPPORTED_MEDIA_TYPE',
        `expected ${Object.values(MEDIA_TYPES).join(' or ')}, got ${got}`,
      )
    }
    return Body.parse(format, await bodies.read(request.raw), compute)
  }

  /** Takes the region over: it is freed when the bytes turn out to be wrong, or by `release`. */
  static async parse(format: BodyFormat, { region, bytes }: SharedBody, compute: Engine): Promise<Body> {
    const regions = [region]
    const share = (text: Uint8Array) => {
      const extra = compute.allocate(text.length)
      regions.push(extra)
      const copy = new Uint8Array(compute.arena.memory.buffer, extra.offset, text.length)
      copy.set(text)
      return copy
    }
    try {
      const tree = await parseBody(format, bytes, {
        scan: text => scan(text, compute),
        scanHere: text => compute.scanHere(text),
        share,
      })
      return new Body(tree, format, regions, compute)
    } catch (error) {
      for (const each of regions) compute.arena.free(each)
      throw error
    }
  }

  release(): void {
    for (const region of this.#regions.splice(0)) this.#compute.arena.free(region)
  }
}

function scan(text: Uint8Array, compute: Engine): JsonScan | Promise<JsonScan> {
  return text.length <= SCAN_HERE ? compute.scanHere(text) : compute.scan(text)
}
