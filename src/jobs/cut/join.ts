/** The answers of the parts as one: every element from the part that has it, the loss summed in the order of the whole. */
import { shortest } from '../../pipeline/encode.ts'
import type { Order, Stored } from '../job.ts'
import { type Pieces, readPart, type Store } from '../store.ts'
import { ELEMENT_BYTES, type Head, readHead, Stretch, writeHead } from './file.ts'
import type { Part } from './part.ts'
import { storedTree, subjectOfOrder } from './part-source.ts'
import { runsOf } from './ranges.ts'
import { type Pricing, wholeShape } from './whole-shape.ts'

/** What a part's answer says of its loss: float64 numbers by (batch, head). */
export const PARTIALS = 'loss_partials'

interface Piece {
  part: Part
  name: string
  head: Head
}

/** `pieces` may be gone through more than once. */
export async function joinParts(
  store: Store,
  order: Order,
  results: Stored[],
  pricing: Pricing,
): Promise<() => Pieces> {
  const subject = subjectOfOrder(order)
  const tree = storedTree(await readHead(store, order.input.name))
  const { taken, group, outputs } = await wholeShape(subject, tree, true, pricing)
  const pieces: Piece[] = []
  for (const [index, { name }] of results.entries()) {
    pieces.push({ part: (order.parts as Part[])[index], name, head: await readHead(store, name) })
  }
  const entries = outputs.map(({ name, shape }) => ({
    name,
    shape,
    dtype: pieces[0].head.tensors.get(name)?.dtype as string,
  }))
  const fields = joinFields(pieces, subject.lists, taken.rest.precision as string | undefined)
  const { head } = writeHead(entries, { response: JSON.stringify(fields) })
  return async function* () {
    yield head
    for (const { name, shape, dtype } of entries) {
      const axes = subject.output(name, shape, taken) as string
      const from = axes === '' ? pieces.slice(0, 1) : pieces
      yield* joined(store, from, { name, shape, axes, group, size: ELEMENT_BYTES[dtype] })
    }
  }
}

function joinFields(
  pieces: Piece[],
  lists: readonly string[],
  precision = 'float32',
): Record<string, unknown> {
  const said = pieces.map(({ head }) => JSON.parse(head.metadata.response) as Record<string, unknown>)
  const { [PARTIALS]: partials, ...fields } = said[0]
  for (const name of lists) if (name in fields) fields[name] = oneBehindTheOther(said.map(each => each[name]))
  if (partials === undefined) return fields
  let loss = 0
  // parts follow each other in the order of batch and heads
  for (const each of said)
    for (const partial of each[PARTIALS] as (number | string)[]) loss += Number(partial)
  const rounded = precision === 'float32' ? Math.fround(loss) : loss
  if (!Number.isFinite(rounded)) return { ...fields, loss: String(rounded) }
  return { ...fields, loss: precision === 'float32' ? shortest(rounded) : rounded }
}

/** Lists with an entry an item, or objects of such. */
function oneBehindTheOther(values: unknown[]): unknown {
  if (Array.isArray(values[0])) return values.flat()
  const all = values as Record<string, unknown>[]
  return Object.fromEntries(
    Object.keys(all[0]).map(key => [key, oneBehindTheOther(all.map(each => each[key]))]),
  )
}

interface Tensor {
  name: string
  shape: number[]
  axes: string
  group: number
  /** bytes of an element */
  size: number
}

/** The elements in their order, each run from the part whose next one stands first. */
async function* joined(
  store: Store,
  pieces: Piece[],
  { name, shape, axes, group, size }: Tensor,
): AsyncGenerator<Uint8Array> {
  const sides = pieces.map(({ part, name: file, head }) => {
    const { start, end } = head.tensors.get(name) ?? { start: 0, end: 0 }
    const runs = runsOf(shape, axes, part, group)
    return {
      runs,
      next: runs.next(),
      open: () => new Stretch(readPart(store, file, start, end)),
      stretch: undefined as Stretch | undefined,
    }
  })
  try {
    for (;;) {
      let first: (typeof sides)[number] | undefined
      for (const side of sides) {
        if (!side.next.done && (first === undefined || side.next.value.from < first.next.value.from))
          first = side
      }
      if (first === undefined) return
      if (first.next.value.count > 0) {
        first.stretch ??= first.open()
        yield* first.stretch.take(first.next.value.count * size)
      }
      first.next = first.runs.next()
      if (first.next.done) await first.stretch?.close()
    }
  } finally {
    for (const { stretch } of sides) await stretch?.close()
  }
}
