/** A request that is to be cut, by its shapes: what is computed of it, and of its parts. */
import type { Plannable, Room } from '../../endpoints/endpoint.ts'
import type { OfWhole } from '../../endpoints/models/endpoint.ts'
import type { Held } from '../../endpoints/models/endpoint-at.ts'
import type { Estimate } from '../../engine/admission.ts'
import type { Engine } from '../../engine/engine.ts'
import type { OutputTensor } from '../../layers/outputs.ts'
import { type Numerics, replyStyle } from '../../pipeline/reply.ts'
import { type Compiled, compileInTurn, parse } from '../../pipeline/serve.ts'
import type { Part } from './part.ts'
import { shapeIn } from './ranges.ts'
import type { Extents, Subject, Taken, Tree } from './subject.ts'
import { takeTensors, withShapes } from './tensors.ts'
import { nullPrototypes } from './trees.ts'

export interface WholeShape extends Extents {
  subject: Subject
  taken: Taken
  outputs: OutputTensor[]
}

/** What pricing takes beside the request. */
export interface Pricing {
  held: Pick<Held, 'ofPart'>
  /** of a model's request */
  whole: OfWhole | undefined
  engine: Engine
  client: string | undefined
  signal: AbortSignal
}

export async function wholeShape(
  subject: Subject,
  tree: Tree,
  shapeAlone: boolean,
  pricing: Pricing,
): Promise<WholeShape> {
  const taken = takeTensors(subject, tree, shapeAlone)
  const extents = subject.extents(taken)
  const { batch, kvHeads } = extents
  const all: Part = { batch: [0, batch], kvHeads: [0, kvHeads] }
  const { program } = await compiled({ subject, taken, ...extents, outputs: [] }, all, pricing)
  return { subject, taken, ...extents, outputs: program.outputs }
}

/** What a part takes. */
export async function estimateOf(whole: WholeShape, part: Part, pricing: Pricing): Promise<Estimate> {
  const { program, memory } = await compiled(whole, part, pricing)
  return pricing.engine.estimate(program, memory)
}

/** Where nothing is read, memory need not be shared. */
const ROOM: Room = { room: bytes => new Uint8Array(bytes) }

async function compiled(
  { subject, taken: { rest, tensors }, group }: WholeShape,
  part: Part,
  { held, whole, engine, client, signal }: Pricing,
): Promise<Compiled> {
  const shapes = tensors.map(({ path, axes, source: { shape, dtype } }) => ({
    path,
    shape: shapeIn(shape, axes, part, group),
    dtype,
  }))
  const endpoint: Plannable = held.ofPart(whole)
  const request = parse(endpoint.shapes, nullPrototypes(subject.shapes(withShapes(rest, shapes), part)))
  if (endpoint.prepare !== undefined) await endpoint.prepare(request, ROOM, signal)
  return await compileInTurn(
    endpoint,
    request,
    replyStyle(request as Numerics, 'safetensors'),
    engine,
    client,
    signal,
  )
}
