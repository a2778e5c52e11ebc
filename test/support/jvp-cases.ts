/** Random requests with tangents, over every option of attention that has some; and what holds of their answers. */
import * as fc from 'fast-check'
import { type Body, drawer, type Flat } from './layer-cases.ts'
import { type Result, runProgram } from './run-program.ts'

export const PATH = '/v1/attention'
export const RESULTS = ['output', 'weights', 'logsumexp'] as const
const INPUTS = ['q', 'k', 'v', 'mask', 'sinks'] as const

const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined })

export const jvpProblems = fc.record({
  form: fc.constantFrom('bhnd', 'bhnd', 'bnhd', 'packed', 'without heads'),
  batch: fc.constantFrom(1, 2),
  kvHeads: fc.constantFrom(1, 2),
  group: fc.constantFrom(1, 2),
  queries: fc.constantFrom(1, 4, 7),
  keys: fc.constantFrom(1, 5, 9),
  dimK: fc.constantFrom(2, 6),
  dimV: fc.constantFrom(1, 5),
  scale: maybe(fc.constantFrom(0.3, 2)),
  softcap: maybe(fc.constant(2)),
  causal: fc.constantFrom<boolean | string>(false, true, 'bottom_right'),
  window: maybe(fc.record({ left: fc.nat(4), right: fc.nat(4) })),
  qk_norm: maybe(fc.constantFrom<unknown>('l2', { kind: 'rms', eps: 1e-2 })),
  rope: maybe(fc.record({ interleaved: fc.boolean(), q_offset: fc.nat(5) })),
  alibi: fc.boolean(),
  dropout: maybe(fc.record({ p: fc.constant(0.3), seed: fc.nat(99) })),
  attention_kind: fc.constantFrom<unknown>(undefined, undefined, 'local', { kind: 'block', size: 3 }),
  mask: fc.constantFrom('none', 'float', 'float of all heads', 'bool'),
  /** what is of one kind of request only */
  extra: fc.constantFrom('none', 'lengths', 'segments', 'prefix', 'past', 'relative bias'),
  sinks: fc.boolean(),
  /** which tangents are given; all where it would be none */
  moving: fc.subarray([...INPUTS]),
  seed: fc.nat(),
})

export type JvpProblem = typeof jvpProblems extends fc.Arbitrary<infer T> ? T : never

/** q [queries, heads, dim] or as the form has it. */
function shapeIn(
  form: JvpProblem['form'],
  batch: number,
  heads: number,
  rows: number,
  dim: number,
): number[] {
  if (form === 'packed') return [rows, heads, dim]
  if (form === 'without heads') return [batch, rows, dim]
  return form === 'bnhd' ? [batch, rows, heads, dim] : [batch, heads, rows, dim]
}

const from = <T>(length: number, element: (index: number) => T) =>
  Array.from({ length }, (_, i) => element(i))

export function jvpBody(o: JvpProblem): Body {
  const draw = drawer(o.seed)
  const { form, queries: n, keys: m } = o
  const batch = form === 'packed' ? 1 : o.batch
  const [kvHeads, heads] = form === 'without heads' ? [1, 1] : [o.kvHeads, o.kvHeads * o.group]
  const { scale, softcap, causal, window, qk_norm, rope, alibi, dropout, attention_kind } = o
  /** differences say nothing where a row is shorter than their steps are long, which a norm would make of length 1 */
  const away = ({ shape, data }: Flat) => ({ shape, data: qk_norm === 'l2' ? data.map(x => x + 2) : data })
  const body: Body = {
    q: away(draw(...shapeIn(form, batch, heads, n, o.dimK))),
    k: away(draw(...shapeIn(form, batch, kvHeads, m, o.dimK))),
    v: draw(...shapeIn(form, batch, kvHeads, m, o.dimV)),
    ...{ scale, softcap, causal, window, qk_norm, rope, alibi, dropout, attention_kind },
    sinks: o.sinks ? draw(heads) : undefined,
    precision: 'float64',
    return: [...RESULTS],
  }
  if (form === 'bnhd') body.layout = 'bnhd'
  if (o.extra === 'relative bias') body.relative_bias = { table: draw(6, heads), max_distance: 7 }
  if (form === 'packed') {
    body.cu_seqlens_q = [0, Math.floor(n / 2), n]
    body.cu_seqlens_k = [0, Math.ceil(m / 3), m]
  } else more(body, o, draw, { batch, heads, kvHeads })
  const moving = o.moving.filter(name => name !== 'mask' || isFloat(body.mask))
  const there = moving.filter(name => body[name] !== undefined)
  const names = there.length > 0 ? there : (['q', 'k', 'v'] as const)
  body.jvp = Object.fromEntries(names.map(name => [name, draw(...(body[name] as Flat).shape)]))
  return body
}

function isFloat(mask: unknown): boolean {
  return mask !== undefined && !Array.isArray(mask)
}

interface Extents {
  batch: number
  heads: number
  kvHeads: number
}

/** The fields that packed sequences may not stand beside. */
function more(
  body: Body,
  o: JvpProblem,
  draw: ReturnType<typeof drawer>,
  { batch, heads, kvHeads }: Extents,
) {
  const { queries: n, keys: m, form } = o
  const past = o.extra === 'past' ? 3 : 0
  const all = m + past
  if (o.mask === 'bool') body.mask = from(n, i => from(all, j => (i * 7 + j * 3) % 4 !== 0))
  if (o.mask.startsWith('float')) {
    const ofHeads = o.mask === 'float of all heads' && form !== 'without heads'
    const mask = draw(...(ofHeads ? [heads, n, all] : [n, all]))
    // the first row whole, and some elements
    const masked = mask.data.map((value, at) => (at % 11 === 3 || (at < all && n > 1) ? '-Infinity' : value))
    body.mask = { shape: mask.shape, data: masked }
  }
  if (o.extra === 'lengths') {
    body.q_lengths = from(batch, b => Math.max(0, n - b))
    body.kv_lengths = from(batch, b => Math.max(0, m - 1 - b))
  }
  if (o.extra === 'segments') {
    body.segments = {
      q: from(batch, b => from(n, i => ((i + b) % 3) - 1)),
      kv: from(batch, () => from(m, j => (j * 5) % 3)),
    }
  }
  if (o.extra === 'prefix' && body.causal) body.prefix_lengths = from(batch, b => Math.min(m, b + 1))
  if (past > 0) {
    body.past_k = draw(...shapeIn(form, batch, kvHeads, past, o.dimK))
    body.past_v = draw(...shapeIn(form, batch, kvHeads, past, o.dimV))
  }
}

/** The body with its inputs moved by `t` along the tangents. */
export function moved({ jvp, ...body }: Body, t: number): Body {
  const result: Body = { ...body }
  for (const [name, tangent] of Object.entries(jvp as Record<string, Flat>)) {
    const { shape, data } = body[name] as { shape: number[]; data: (number | string)[] }
    const along = data.map((value, at) => (typeof value === 'string' ? value : value + t * tangent.data[at]))
    result[name] = { shape, data: along }
  }
  return result
}

const STEP = 3e-4

/** Derivatives of the results along the tangents by central differences, of fourth order; 0 where a result is −∞. */
export async function differences(body: Body): Promise<Record<string, number[]>> {
  const at = async (t: number): Promise<Result['tensors']> => (await runProgram(PATH, moved(body, t))).tensors
  const [near, nearer, far, farther] = await Promise.all([at(STEP), at(-STEP), at(2 * STEP), at(-2 * STEP)])
  const found: Record<string, number[]> = {}
  for (const name of RESULTS) {
    found[name] = near[name].data.map((value, index) => {
      if (value === Number.NEGATIVE_INFINITY) return 0
      const wide = far[name].data[index] - farther[name].data[index]
      return (8 * (value - nearer[name].data[index]) - wide) / (12 * STEP)
    })
  }
  return found
}
