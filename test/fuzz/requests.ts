/** Bodies for every compute endpoint, field by field: mostly right, so that they come far; `mutate.ts` makes them wrong. */
import * as fc from 'fast-check'

export interface Request {
  path: string
  body: unknown
}

type Json = fc.Arbitrary<unknown>

/** A member that is often left out. */
const maybe = (value: Json, among = 4): Json =>
  fc.oneof({ weight: among - 1, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: value })

const record = (members: Record<string, Json>): fc.Arbitrary<Record<string, unknown>> => fc.record(members)

const some = <T>(...values: T[]): fc.Arbitrary<T> => fc.constantFrom(...values)

const element = fc.oneof(
  { weight: 8, arbitrary: fc.integer({ min: -30, max: 30 }).map(whole => whole / 10) },
  { weight: 1, arbitrary: some(0, -0, 1e-40, -1e-300, 3e38, 1e15, -123456.789) },
)

/** A few elements over and over, so that a tensor costs no more to draw than they do. */
const pool = fc.array(element, { minLength: 1, maxLength: 5 })

function nested(shape: number[], at: (index: number) => unknown): unknown {
  let next = 0
  const rows = (axis: number): unknown =>
    axis === shape.length ? at(next++) : Array.from({ length: shape[axis] }, () => rows(axis + 1))
  return rows(0)
}

/** A tensor in one of its forms. */
function tensor(...shape: number[]): Json {
  const count = shape.reduce((product, extent) => product * extent, 1)
  return fc.tuple(pool, some('nested', 'flat', 'float32', 'float64', 'float16')).map(([values, form]) => {
    const at = (index: number) => values[index % values.length]
    if (form === 'nested') return nested(shape, at)
    const data = Array.from({ length: count }, (_, index) => at(index))
    if (form === 'flat') return { shape, data }
    if (form === 'float16') return { shape, dtype: form, data: data.map(value => value % 100) }
    const bytes = form === 'float32' ? Float32Array.from(data) : Float64Array.from(data)
    return { shape, dtype: form, base64: Buffer.from(bytes.buffer).toString('base64') }
  })
}

const extent = fc.oneof(
  { weight: 9, arbitrary: fc.integer({ min: 1, max: 5 }) },
  { weight: 1, arbitrary: some(0, 9, 17) },
)

interface Sizes {
  batch: number
  groups: number
  kvHeads: number
  queries: number
  keys: number
  past: number
  dimK: number
  dimV: number
  rank: number
}

const sizes: fc.Arbitrary<Sizes> = fc.record({
  batch: some(1, 1, 2, 3),
  groups: some(1, 1, 2),
  kvHeads: some(1, 1, 2),
  queries: extent,
  keys: extent,
  past: fc.nat(3),
  dimK: some(1, 2, 4, 6),
  dimV: some(1, 2, 3),
  rank: some(2, 3, 4, 4),
})

const numerics = {
  precision: maybe(some('float32', 'float64'), 2),
  non_finite: maybe(some('reject', 'propagate')),
  encoding: maybe(some('nested', 'flat', 'base64')),
  output_dtype: maybe(some('float64', 'float32', 'float16', 'bfloat16')),
}

const MAPS = [
  'weights',
  'scores',
  'masked_scores',
  'logsumexp',
  'entropy',
  'dropped_weights',
  'softcapped_scores',
  'max_score',
]
const names = (...all: string[]) => fc.subarray(all)

const scaling = fc.oneof(
  record({ rope_type: some('linear', 'proportional', 'default'), factor: maybe(some(2, 0.5), 2) }),
  record({ rope_type: some('dynamic'), factor: some(2, 8), max_position_embeddings: maybe(some(1, 4), 2) }),
  record({
    rope_type: some('yarn', 'llama3', 'longrope'),
    factor: some(1, 4),
    original_max_position_embeddings: some(1, 16),
    low_freq_factor: maybe(some(1)),
    high_freq_factor: maybe(some(4)),
    short_factor: maybe(tensor(2)),
    long_factor: maybe(tensor(1)),
  }),
)

const rope = record({
  base: maybe(some(10000, 2, 1e30)),
  interleaved: maybe(fc.boolean()),
  dims: maybe(some(2, 4, 6)),
  frequencies: maybe(fc.oneof(tensor(1), tensor(2)), 6),
  factor: maybe(some(1, 0, -2)),
  scaling: maybe(scaling, 6),
  q_offset: maybe(some(0, 3, 1e9, -5)),
  k_offset: maybe(some(0, 3)),
  q_positions: maybe(fc.array(fc.integer({ min: -3, max: 2 ** 20 }), { maxLength: 6 }), 6),
  k_positions: maybe(fc.array(fc.nat(9), { maxLength: 6 }), 6),
})

const kind = fc.oneof(
  some('softmax', 'linear', 'lsh', 'local', 'strided', 'block', 'gated'),
  record({ kind: some('linear'), feature: maybe(some('elu1', 'relu', 'identity'), 3) }),
  record({
    kind: some('lsh'),
    buckets: maybe(some(2, 4, 8), 2),
    rounds: maybe(some(1, 3)),
    seed: maybe(fc.nat(9)),
  }),
  record({ kind: some('local'), window: maybe(fc.nat(4), 2) }),
  record({ kind: some('strided'), stride: maybe(some(1, 2, 3), 2) }),
  record({ kind: some('block'), size: maybe(some(1, 2, 3), 2), previous: maybe(fc.boolean()) }),
)

const lengthsOf = (count: number, most: number): Json =>
  fc.array(fc.nat(most), { minLength: count, maxLength: count })

const segmentsOf = (batch: number, count: number): Json => {
  const ids = fc.array(fc.integer({ min: -1, max: 2 }), { minLength: count, maxLength: count })
  return fc.array(ids, { minLength: batch, maxLength: batch })
}

/** Gates that fit, mostly. */
function gatedKind(batch: number[], positions: number, kvHeads: number): Json {
  const heads = some(kvHeads, 1, 2 * kvHeads)
  const gate = heads.chain(width => tensor(...batch, positions, width as number))
  return record({
    kind: some('gated', 'gated_linear', 'delta', 'gated_delta'),
    gates: maybe(record({ decay: maybe(gate, 1), beta: maybe(gate, 1) }), 1),
  })
}

/** Options of attention over [batch, heads, queries, keys]. */
function options({ batch, groups, kvHeads, queries, keys, rank }: Sizes): Record<string, Json> {
  const heads = groups * kvHeads
  const masks = fc.oneof(
    fc
      .array(fc.boolean(), { minLength: 1, maxLength: 7 })
      .map(pattern => nested([queries, keys], index => pattern[index % pattern.length])),
    tensor(queries, keys),
    tensor(1, keys),
    tensor(heads, 1, keys),
  )
  return {
    scale: maybe(element),
    softcap: maybe(some(0.5, 30)),
    mask: maybe(masks),
    causal: maybe(some<unknown>(true, 'top_left', 'bottom_right', false), 2),
    q_lengths: maybe(lengthsOf(rank === 2 ? 1 : batch, queries), 8),
    kv_lengths: maybe(lengthsOf(rank === 2 ? 1 : batch, keys), 8),
    prefix_lengths: maybe(lengthsOf(rank === 2 ? 1 : batch, keys), 8),
    segments: maybe(
      record({
        q: segmentsOf(rank === 2 ? 1 : batch, queries),
        kv: maybe(segmentsOf(rank === 2 ? 1 : batch, keys)),
      }),
      8,
    ),
    window: maybe(
      record({
        left: maybe(fc.nat(4), 2),
        right: maybe(fc.nat(4), 2),
        align: maybe(some('top_left', 'bottom_right'), 2),
      }),
    ),
    alibi: maybe(fc.oneof(fc.boolean(), tensor(heads)), 8),
    sinks: maybe(tensor(heads), 8),
    qk_norm: maybe(
      fc.oneof(some('l2', 'rms'), record({ kind: some('rms', 'l2'), eps: maybe(some(1e-6, 1)) })),
      8,
    ),
    rope: maybe(rope, 6),
    dropout: maybe(record({ p: some(0, 0.1, 0.9), seed: maybe(fc.nat()) }), 6),
    attention_kind: maybe(fc.oneof(kind, gatedKind(rank === 2 ? [] : [batch], queries, kvHeads)), 3),
    state: maybe(record({ s: maybe(fc.oneof(tensor(2, 2), tensor(batch, kvHeads, 2, 2))) }), 20),
    compare_exact: maybe(fc.boolean(), 8),
  }
}

function backward(shape: number[], wrt: string[]): Json {
  const loss = {
    loss: maybe(some('sum_squared_error', 'mean_squared_error')),
    entropy_weight: maybe(element),
    wrt: maybe(names(...wrt), 2),
  }
  return fc.oneof(
    record({ target: tensor(...shape), ...loss }),
    record({ grad_output: tensor(...shape), entropy_weight: loss.entropy_weight, wrt: loss.wrt }),
  )
}

const attention = sizes.chain(s => {
  const { batch, groups, kvHeads, queries, keys, past, dimK, dimV, rank } = s
  const inRank = (heads: number, rows: number, width: number) =>
    [batch, heads, rows, width].slice(rank === 4 ? 0 : 2).concat() as number[]
  const lead = (heads: number, rows: number, width: number) =>
    rank === 3 ? [batch, rows, width] : inRank(heads, rows, width)
  const single = rank < 4 ? { ...s, groups: 1, kvHeads: 1 } : s
  const all = rank === 2 ? { ...single, batch: 1 } : single
  const heads = all.groups * all.kvHeads
  const some = rank === 4 ? groups * kvHeads : heads
  const pasts = record({
    past_k: tensor(...lead(all.kvHeads, past, dimK)),
    past_v: tensor(...lead(all.kvHeads, past, dimV)),
  })
  const body = record({
    q: tensor(...lead(some, queries, dimK)),
    k: tensor(...lead(all.kvHeads, keys, dimK)),
    v: tensor(...lead(all.kvHeads, keys, dimV)),
    ...options(all),
    return: maybe(names('output', ...MAPS, 'present_k', 'present_v'), 2),
    backward: maybe(backward(lead(some, queries, dimV), ['q', 'k', 'v', 'mask', 'past_k', 'past_v']), 2),
    jvp: maybe(
      record({
        q: maybe(tensor(...lead(some, queries, dimK)), 2),
        k: maybe(tensor(...lead(all.kvHeads, keys, dimK)), 2),
        v: maybe(tensor(...lead(all.kvHeads, keys, dimV)), 2),
        mask: maybe(tensor(queries, keys), 6),
        sinks: maybe(tensor(heads), 6),
      }),
      4,
    ),
    ...numerics,
  })
  return fc.tuple(body, maybe(pasts)).map(([own, before]) => ({ ...own, ...(before as object | undefined) }))
})

const init = record({
  scheme: maybe(some('xavier_uniform', 'xavier_normal', 'he_uniform', 'he_normal')),
  seed: maybe(fc.nat()),
  bias: maybe(fc.boolean(), 2),
})

/** The body with its parameters: drawn, or given by shapes that fit. */
function withParams(
  shapes: Record<string, number[]>,
  members: Record<string, Json>,
): fc.Arbitrary<Record<string, unknown>> {
  const given = record(
    Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, tensor(...shape)])),
  )
  return fc
    .tuple(record(members), fc.oneof(record({ init }), record({ params: given })))
    .map(([body, own]) => ({ ...body, ...own }))
}

const selfAttention = sizes.chain(s => {
  const { queries, dimK, dimV } = s
  const lead = s.rank === 2 ? [] : [s.batch]
  const width = 4
  const own = { ...s, batch: s.rank === 2 ? 1 : s.batch, groups: 1, kvHeads: 1, keys: queries }
  const shapes = { w_q: [width, dimK], w_k: [width, dimK], w_v: [width, dimV] }
  return withParams(shapes, {
    x: tensor(...lead, queries, width),
    ...options(own),
    return: maybe(names('output', ...MAPS, 'params', 'present_k', 'present_v'), 2),
    backward: maybe(backward([...lead, queries, dimV], ['x', 'mask', 'params', 'params.w_q']), 2),
    ...numerics,
  })
})

const multiHead = sizes.chain(s => {
  const { queries, keys, dimK, dimV, groups, kvHeads } = s
  const lead = s.rank === 2 ? [] : [s.batch]
  const heads = groups * kvHeads
  const width = 4
  const shapes = {
    w_q: [width, heads * dimK],
    w_k: [3, kvHeads * dimK],
    w_v: [3, kvHeads * dimV],
    w_o: [heads * dimV, width],
  }
  return withParams(shapes, {
    x: tensor(...lead, queries, width),
    context: maybe(tensor(...lead, keys, 3), 2),
    heads: some(heads),
    kv_heads: some(kvHeads),
    d_k: maybe(some(1, 2, 4), 12),
    d_out: maybe(some(1, 4), 12),
    ...options({ ...s, batch: s.rank === 2 ? 1 : s.batch }),
    return: maybe(names('output', ...MAPS, 'params', 'present_k', 'present_v'), 2),
    backward: maybe(backward([...lead, queries, width], ['x', 'context', 'mask', 'params', 'params.w_o']), 2),
    ...numerics,
  })
})

const transformer = sizes.chain(s => {
  const lead = s.rank === 2 ? [] : [s.batch]
  const heads = s.groups * s.kvHeads
  const width = 4 * heads
  const {
    causal: _causal,
    rope: _rope,
    alibi: _alibi,
    ...beside
  } = options({
    ...s,
    batch: s.rank === 2 ? 1 : s.batch,
    keys: s.queries,
  })
  const window = record({ left: maybe(fc.nat(3)), right: maybe(fc.nat(3)) })
  const rope = record({ base: maybe(some(100)), dims: maybe(some(2, 4)) })
  const byLayer = (one: Json) => fc.oneof(one, fc.array(fc.option(one), { maxLength: 3 }))
  const stack = record({
    layers: some(1, 2, 3),
    heads: some(heads),
    kv_heads: maybe(some(s.kvHeads)),
    head_dim: maybe(some(2, 4, 6), 6),
    scale: maybe(some(0, -1, 0.5), 6),
    softcap: maybe(some(1, 50), 6),
    window: maybe(byLayer(window), 6),
    d_ff: maybe(some(1, 5)),
    norm: maybe(some('pre', 'post', 'sandwich'), 2),
    norm_kind: maybe(some('layer', 'rms'), 2),
    norm_eps: maybe(some(0, 1e-5, 1)),
    activation: maybe(
      some('relu', 'gelu', 'gelu_tanh', 'silu', 'quick_gelu', 'swiglu', 'geglu', 'geglu_tanh'),
      2,
    ),
    position: maybe(some('none', 'sinusoidal', 'rope', 'alibi'), 2),
    rope: maybe(byLayer(rope), 6),
    causal: maybe(some<unknown>(true, 'bottom_right')),
    init,
  })
  const encoder = record({
    stack,
    x: tensor(...lead, s.keys, width),
    q_lengths: maybe(fc.array(fc.nat(s.keys), { minLength: s.batch, maxLength: s.batch }), 3),
  })
  const returned = ['output', ...MAPS, 'params', 'present', 'cross_weights', 'cross_entropy']
  return record({
    stack,
    x: tensor(...lead, s.queries, width),
    context: maybe(tensor(...lead, s.keys, 3), 5),
    encoder: maybe(encoder, 5),
    past: maybe(
      record({
        'layers.0.k': tensor(...lead, s.kvHeads, 2, 4),
        'layers.0.v': tensor(...lead, s.kvHeads, 2, 4),
      }),
      8,
    ),
    ...beside,
    checkpoint: maybe(fc.boolean()),
    return: maybe(names(...returned), 2),
    backward: maybe(
      backward(
        [...lead, s.queries, width],
        ['x', 'mask', 'params', 'context', 'encoder', 'past', 'encoder.x'],
      ),
      2,
    ),
    ...numerics,
  })
})

const positions = fc.tuple(extent, some(1, 2, 3, 4), extent).chain(([rows, heads, width]) => {
  const table = {
    length: fc.nat(6),
    d_model: some(2, 4),
    base: maybe(some(10000, 1e-30)),
    offset: maybe(some(0, 7, 1e9)),
  }
  const ofX = { x: tensor(heads, rows, width), backward: maybe(backward([heads, rows, width], ['x']), 2) }
  return fc.oneof(
    record({ kind: some('sinusoidal'), ...table, ...numerics }),
    record({ kind: some('sinusoidal'), ...ofX, ...numerics }),
    record({
      kind: some('rope'),
      ...table,
      dims: maybe(some(2, 4)),
      interleaved: maybe(fc.boolean()),
      ...numerics,
    }),
    record({
      kind: some('rope'),
      ...ofX,
      dims: maybe(some(2, 4)),
      factor: maybe(some(1, 0, -2)),
      scaling: maybe(scaling, 2),
      positions: maybe(fc.array(fc.integer({ min: -3, max: 99 }), { minLength: rows, maxLength: rows }), 2),
      ...numerics,
    }),
    record({ kind: some('alibi'), length: fc.nat(6), heads: some(1, 3), ...numerics }),
    record({ kind: some('alibi'), ...ofX, heads: maybe(some(heads)), ...numerics }),
  )
})

const ENDPOINTS: Record<string, Json> = {
  '/v1/attention': attention,
  '/v1/self-attention': selfAttention,
  '/v1/multi-head-attention': multiHead,
  '/v1/transformer': transformer,
  '/v1/positional-encoding': positions,
}

/** Of one endpoint. */
const compute: fc.Arbitrary<Request>[] = Object.entries(ENDPOINTS).map(([path, body]) =>
  body.map(drawn => ({ path, body: JSON.parse(JSON.stringify(drawn)) })),
)

/** Bodies of `POST /v1/transformer`. */
export const stacks = transformer as fc.Arbitrary<Record<string, unknown>>

export const requests: fc.Arbitrary<Request> = fc.oneof(
  ...compute,
  fc.oneof(...compute).map(({ path, body }) => ({ path: '/v1/plan', body: { endpoint: path, body } })),
)

export const PATHS = Object.keys(ENDPOINTS)
