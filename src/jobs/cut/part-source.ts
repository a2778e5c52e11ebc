/** The request of one part: of every tensor what it has of it, read from the stored whole. */
import type { Source } from '../../pipeline/decode.ts'
import type { Order } from '../job.ts'
import { readPart, type Store } from '../store.ts'
import { ELEMENT_BYTES, type Entry, type Head, readHead, Stretch, writeHead } from './file.ts'
import type { Part } from './part.ts'
import { runsOf, shapeIn } from './ranges.ts'
import type { Subject, Taken, Tree } from './subject.ts'
import { subjectOf } from './subjects.ts'
import { takeTensors, withShapes } from './tensors.ts'
import { nullPrototypes } from './trees.ts'

const DTYPES: Record<string, string> = { F64: 'float64', F32: 'float32', BOOL: 'bool', I32: 'int32' }

/** The request of the whole by its shapes, as its stored head says it. */
export function storedTree({ tensors, metadata }: Head): Tree {
  const rest: Tree = JSON.parse(metadata.request)
  const shapes = [...tensors].map(([path, { shape, dtype }]) => ({ path, shape, dtype: DTYPES[dtype] }))
  return nullPrototypes(withShapes(rest, shapes))
}

export function subjectOfOrder({ endpoint, whole }: Order): Subject {
  const subject = subjectOf(endpoint, whole)
  if (subject === undefined) throw new Error(`a job of ${endpoint} was cut, which cannot be`)
  return subject
}

export async function partSource(store: Store, order: Order, index: number): Promise<Source> {
  const { name } = order.input
  const part = (order.parts as Part[])[index]
  const head = await readHead(store, name)
  const subject = subjectOfOrder(order)
  const taken: Taken = takeTensors(subject, storedTree(head), true)
  const extents = subject.extents(taken)
  const { group } = extents
  const known = new Map(taken.tensors.map(({ path, axes }) => [path, axes]))
  const stretches = [...head.tensors].map(([path, entry]) => {
    const axes = known.get(path) ?? ''
    return { path, entry, axes, shape: shapeIn(entry.shape, axes, part, group) }
  })
  const rest = subject.rest(JSON.parse(head.metadata.request), part, extents)
  const entries = stretches.map(({ path, entry: { dtype }, shape }) => ({ name: path, dtype, shape }))
  const own = writeHead(entries, { request: JSON.stringify(rest) })
  return {
    format: 'safetensors',
    declaredBytes: own.bytes,
    client: order.owner,
    async read(take) {
      await take(own.head)
      for (const { entry, axes } of stretches) {
        for await (const { buffer, byteOffset, byteLength } of slice(store, name, entry, axes, part, group)) {
          await take(Buffer.from(buffer, byteOffset, byteLength))
        }
      }
    },
  }
}

async function* slice(
  store: Store,
  name: string,
  { dtype, shape, start }: Entry,
  axes: string,
  part: Part,
  group: number,
) {
  const size = ELEMENT_BYTES[dtype]
  const runs = [...runsOf(shape, axes, part, group)].filter(({ count }) => count > 0)
  const [first, last] = [runs[0], runs[runs.length - 1]]
  if (first === undefined) return
  const stretch = new Stretch(
    readPart(store, name, start + first.from * size, start + (last.from + last.count) * size),
  )
  let at = first.from
  for (const { from, count } of runs) {
    await stretch.skip((from - at) * size)
    yield* stretch.take(count * size)
    at = from + count
  }
  await stretch.close()
}
