/** Requests whose plans are held against what they take: every option of every endpoint, small and large. */

type Body = Record<string, unknown>

export interface PlanCase {
  name: string
  path: string
  /** tensors are shapes alone, unless it has `elements` */
  body: Body
  elements?: true
  /** every element of every tensor is the same: rows that hash alike */
  alike?: true
  /** an input holds a NaN */
  nonFinite?: true
  format?: 'json' | 'safetensors'
}

type Shape = [batch: number, heads: number, rows: number, dim: number]

/** Answers are raw bytes unless their writing is what is looked at. */
const attention = (name: string, shape: Shape, more: Body = {}, rest: Partial<PlanCase> = {}): PlanCase => {
  const tensor = { shape }
  return {
    name: `${name} [${shape.join(',')}]`,
    path: '/v1/attention',
    body: { q: tensor, k: tensor, v: tensor, ...more },
    format: 'safetensors',
    ...rest,
  }
}

const backward = (shape: number[]) => ({ backward: { grad_output: { shape } } })

/** Of what attention over tensors of that shape gives. */
const outputShape = ([b, h, n, d]: Shape, { layout }: Body) =>
  layout === 'bnhd' ? [b, n, h, d] : [b, h, n, d]

/** Beside plain attention; for each, forward and backward. */
const OPTIONS: Record<string, (shape: Shape) => Body> = {
  plain: () => ({}),
  causal: () => ({ causal: true }),
  window: () => ({ window: { left: 31, right: 0 } }),
  softcap: () => ({ softcap: 10 }),
  dropout: () => ({ dropout: { p: 0.1 } }),
  entropy: () => ({ return: ['output', 'entropy'] }),
  alibi: () => ({ alibi: true }),
  'relative bias': ([, heads]) => ({ relative_bias: { table: { shape: [32, heads] } } }),
  sinks: ([, heads]) => ({ sinks: { shape: [heads] } }),
  'bool mask': ([b, h, n]) => ({ mask: { shape: [b, h, n, n], dtype: 'bool' } }),
  'float mask': ([, , n]) => ({ mask: { shape: [n, n], dtype: 'float32' } }),
  bnhd: ([b, h, n, d]) => {
    const shape = [b, n, h, d]
    return { q: { shape }, k: { shape }, v: { shape }, layout: 'bnhd' }
  },
  'norm, rope': ([, , , d]) => (d % 2 === 0 ? { qk_norm: 'l2', rope: {} } : { qk_norm: 'l2' }),
  linear: () => ({ attention_kind: 'linear' }),
  'linear causal': () => ({ attention_kind: 'linear', causal: true }),
  'linear identity': () => ({ attention_kind: { kind: 'linear', feature: 'identity' }, causal: true }),
  'linear relu': () => ({ attention_kind: { kind: 'linear', feature: 'relu' } }),
  'gated by head': ([b, h, n]) => ({
    attention_kind: { kind: 'gated', gates: { decay: { shape: [b, n, h] } } },
  }),
  delta: ([b, , n]) => ({ attention_kind: { kind: 'delta', gates: { beta: { shape: [b, n, 1] } } } }),
  'gated delta': ([b, h, n, d]) => ({
    attention_kind: {
      kind: 'gated_delta',
      gates: { decay: { shape: [b, n, h * d] }, beta: { shape: [b, n, h] } },
    },
  }),
  local: () => ({ attention_kind: 'local' }),
  strided: () => ({ attention_kind: 'strided' }),
  'strided causal': () => ({ attention_kind: { kind: 'strided', stride: 16 }, causal: true }),
  block: () => ({ attention_kind: 'block' }),
  lsh: () => ({ attention_kind: 'lsh' }),
  'lsh, 2 buckets': () => ({ attention_kind: { kind: 'lsh', buckets: 2 } }),
  'lsh, causal, 8 rounds': () => ({ attention_kind: { kind: 'lsh', rounds: 8 }, causal: true }),
}

const MAPS: Record<string, Body> = {
  weights: { return: ['output', 'weights'] },
  'all maps': { return: ['weights', 'scores', 'masked_scores', 'dropped_weights'], dropout: { p: 0.1 } },
  'softcapped scores': { return: ['softcapped_scores', 'max_score'], softcap: 30 },
}

const SHAPES: Shape[] = [
  [1, 1, 12, 4],
  [1, 2, 700, 1],
  [1, 2, 400, 64],
  [1, 1, 300, 256],
]

const options: PlanCase[] = (['float32', 'float64'] as const).flatMap(precision =>
  SHAPES.flatMap(shape => {
    const [b, h, n, d] = shape
    // the reference kernels are slow
    const own: Shape = precision === 'float64' && n > 100 ? [1, 1, Math.round(n / 4), d] : [b, h, n, d]
    return Object.entries(OPTIONS).flatMap(([name, more]) => {
      const both = { ...more(own), precision }
      return [
        attention(`${precision} ${name}`, own, both),
        attention(`${precision} ${name}, backward`, own, { ...both, ...backward(outputShape(own, both)) }),
      ]
    })
  }),
)

const maps: PlanCase[] = (['float32', 'float64'] as const).flatMap(precision =>
  (
    [
      [1, 1, 200, 1],
      [1, 1, 200, 64],
    ] as Shape[]
  ).flatMap(shape =>
    Object.entries(MAPS).flatMap(([name, more]) =>
      ['softmax', 'strided'].flatMap(kind =>
        kind === 'strided' && name === 'all maps'
          ? []
          : [attention(`${precision} ${name}, ${kind}`, shape, { ...more, precision, attention_kind: kind })],
      ),
    ),
  ),
)

const tangents: PlanCase[] = (['float32', 'float64'] as const).flatMap(precision => {
  const long: Shape = [1, 1, 5000, 16]
  return [...SHAPES, ...(precision === 'float32' ? [long] : [])].flatMap(shape => {
    const [b, h, n, d] = shape
    const own: Shape = precision === 'float64' && n > 100 ? [1, 1, Math.round(n / 4), d] : [b, h, n, d]
    const rows = own[2]
    const tensor = { shape: own }
    const all = { q: tensor, k: tensor, v: tensor }
    const mask = { shape: [rows, rows], dtype: precision }
    const requests: Record<string, Body> = {
      plain: { jvp: all },
      causal: { jvp: all, causal: true },
      'of v alone': { jvp: { v: tensor } },
      'of q alone, logsumexp': { jvp: { q: tensor }, return: ['logsumexp'] },
      softcap: { jvp: all, softcap: 10 },
      'float mask, dropout': { jvp: { ...all, mask }, mask, dropout: { p: 0.1 } },
    }
    if (shape !== long) requests.weights = { jvp: all, return: ['output', 'weights'] }
    return Object.entries(requests).map(([name, more]) =>
      attention(`${precision} jvp, ${name}`, own, { ...more, precision }),
    )
  })
})

const gradients: PlanCase[] = (['float32', 'float64'] as const).flatMap(precision =>
  [1, 64].flatMap(d => {
    const shape: Shape = [1, 2, 150, d]
    const grad = backward(shape).backward
    const masks = [
      [150, 150],
      [1, 150],
      [150, 1],
    ]
    return [
      ...masks.map(mask =>
        attention(`${precision} gradient of a mask [${mask}]`, shape, {
          mask: { shape: mask, dtype: precision },
          backward: grad,
          precision,
        }),
      ),
      attention(`${precision} gradients of weights and logsumexp`, shape, {
        backward: { grad_weights: { shape: [1, 2, 150, 150] }, grad_logsumexp: { shape: [1, 2, 150] } },
        precision,
      }),
      attention(`${precision} softcap, entropy, dropout`, shape, {
        softcap: 5,
        dropout: { p: 0.2 },
        backward: { ...grad, entropy_weight: 0.1 },
        precision,
      }),
      attention(`${precision} gqa`, shape, {
        k: { shape: [1, 1, 300, d] },
        v: { shape: [1, 1, 300, d] },
        backward: grad,
        precision,
      }),
      attention(`${precision} exact beside local`, shape, {
        attention_kind: 'local',
        compare_exact: true,
        precision,
      }),
    ]
  }),
)

/** Rows that hash alike, and rows that do not, in few and in many buckets. */
const hashed: PlanCase[] = [1, 64].flatMap(d =>
  [false, true].flatMap(alike =>
    [
      { buckets: 64, chunk: 64 },
      { buckets: 65536, chunk: 64 },
      { buckets: 65536, chunk: 1500 },
      { buckets: 4096, chunk: 400, rounds: 8 },
    ].map(kind =>
      attention(
        `lsh, ${alike ? 'alike' : 'different'}, ${JSON.stringify(kind)}`,
        [1, 1, 1500, d],
        { attention_kind: { kind: 'lsh', ...kind }, ...backward([1, 1, 1500, d]) },
        alike ? { alike } : {},
      ),
    ),
  ),
)

/** Kernels take no shortcuts where an input holds a NaN. */
const nonFinite: PlanCase[] = [false, true].flatMap(nan =>
  [1, 64].flatMap(d =>
    ['softmax', 'linear'].flatMap(attention_kind => {
      const shape: Shape = [1, 1, 300, d]
      const body = { attention_kind, causal: true, non_finite: 'propagate' }
      const name = `${attention_kind}, ${nan ? 'a NaN' : 'perhaps a NaN'}`
      const rest: Partial<PlanCase> = nan ? { nonFinite: true } : {}
      return [
        attention(name, shape, body, rest),
        attention(`${name}, backward`, shape, { ...body, ...backward(shape) }, rest),
      ]
    }),
  ),
)

const sizes: PlanCase[] = [
  attention('long', [1, 1, 8192, 8], { causal: true }),
  attention('long local', [1, 1, 16384, 16], { attention_kind: 'local', ...backward([1, 1, 16384, 16]) }),
  attention('long linear', [1, 1, 16384, 32], { attention_kind: 'linear', ...backward([1, 1, 16384, 32]) }),
  attention('float64 long strided', [1, 1, 1200, 2], {
    attention_kind: 'strided',
    precision: 'float64',
    ...backward([1, 1, 1200, 2]),
  }),
  attention('float64 long window', [1, 1, 1500, 2], {
    window: { left: 5, right: 5 },
    precision: 'float64',
    ...backward([1, 1, 1500, 2]),
  }),
  attention('wide', [1, 1, 64, 4096], backward([1, 1, 64, 4096])),
  attention('many heads of little', [64, 16, 8, 8], backward([64, 16, 8, 8])),
  attention('one row', [1, 8, 1, 64], { k: { shape: [1, 8, 5000, 64] }, v: { shape: [1, 8, 5000, 64] } }),
  attention('one key', [1, 8, 5000, 64], { k: { shape: [1, 8, 1, 64] }, v: { shape: [1, 8, 1, 64] } }),
]

const stack = (name: string, x: number[], own: Body, more: Body = {}): PlanCase => ({
  name: `stack, ${name} [${x.join(',')}]`,
  path: '/v1/transformer',
  body: { x: { shape: x }, stack: { layers: 2, heads: 4, init: {}, ...own }, ...more },
  format: 'safetensors',
})

const activations: PlanCase[] = ['relu', 'gelu', 'gelu_tanh', 'silu', 'swiglu'].flatMap(activation =>
  ['float32', 'float64'].map(precision =>
    stack(
      `${precision} ${activation}, backward`,
      [1, 40, 32],
      { layers: 1, activation, norm_kind: 'rms' },
      { precision, backward: { target: { shape: [1, 40, 32] } } },
    ),
  ),
)

const layers: PlanCase[] = [
  stack('plain', [1, 64, 64], {}),
  stack('gelu, rope', [1, 150, 128], { activation: 'gelu', position: 'rope' }),
  stack('swiglu, rms', [1, 150, 128], { activation: 'swiglu', norm_kind: 'rms', norm: 'pre' }),
  stack(
    'sinusoidal, backward',
    [1, 256, 64],
    { position: 'sinusoidal' },
    { backward: { target: { shape: [1, 256, 64] } } },
  ),
  stack(
    'dropout, backward',
    [1, 150, 128],
    {},
    {
      dropout: { p: 0.1 },
      backward: { target: { shape: [1, 150, 128] } },
    },
  ),
  stack(
    'checkpoint',
    [1, 150, 128],
    {},
    { checkpoint: true, backward: { target: { shape: [1, 150, 128] } } },
  ),
  stack('wide', [1, 4, 1024], { init: { scheme: 'he_normal' } }),
  stack('wide, xavier', [1, 4, 1024], {}),
  stack('narrow', [8, 500, 4], { d_ff: 4 }, { backward: { target: { shape: [8, 500, 4] } } }),
  stack(
    'float64',
    [1, 64, 64],
    { activation: 'silu' },
    { precision: 'float64', backward: { target: { shape: [1, 64, 64] } } },
  ),
  stack('float64 wide', [1, 2, 512], { layers: 1 }, { precision: 'float64' }),
  stack('params handed back', [1, 4, 256], {}, { return: ['params'], encoding: 'base64' }),
  {
    name: 'self-attention',
    path: '/v1/self-attention',
    body: { x: { shape: [2, 300, 64] }, init: {} },
    format: 'safetensors',
  },
  {
    name: 'multi-head attention, cross',
    path: '/v1/multi-head-attention',
    body: { x: { shape: [2, 300, 64] }, context: { shape: [2, 100, 32] }, heads: 4, init: { bias: true } },
    format: 'safetensors',
  },
]

/** Writing what is cheap to compute. */
const answers: PlanCase[] = [
  ...(['nested', 'flat', 'base64'] as const).flatMap(encoding =>
    [8, 400].map(length => ({
      name: `alibi, ${length}, ${encoding}`,
      path: '/v1/positional-encoding',
      body: { kind: 'alibi', heads: 4, length, encoding },
    })),
  ),
  ...(['float64', 'float32', 'float16', 'bfloat16'] as const).flatMap(output_dtype =>
    (['flat', 'base64'] as const).map(encoding => ({
      name: `sinusoidal, ${output_dtype}, ${encoding}`,
      path: '/v1/positional-encoding',
      body: { kind: 'sinusoidal', length: 1500, d_model: 64, encoding, output_dtype },
    })),
  ),
  {
    name: 'alibi, raw float16',
    path: '/v1/positional-encoding',
    body: { kind: 'alibi', heads: 4, length: 500, output_dtype: 'float16' },
    format: 'safetensors',
  },
  {
    name: 'rope',
    path: '/v1/positional-encoding',
    body: { kind: 'rope', length: 1500, d_model: 64, encoding: 'base64' },
  },
  {
    name: 'weights as text',
    path: '/v1/attention',
    body: { ...attention('', [1, 4, 400, 16]).body, return: ['weights'] },
  },
]

const number = (i: number) => Math.sin(i * 1.3 + 1e-5 * i * i)
const elements = (count: number) => Array.from({ length: count }, (_, i) => number(i))
const values = (n: number, d: number) =>
  Array.from({ length: n }, (_, i) => Array.from({ length: d }, (_, j) => number(i * d + j)))
const base64 = (n: number, d: number, dtype: 'float32' | 'float64' | 'float16') => ({
  shape: [n, d],
  dtype,
  base64:
    dtype === 'float16'
      ? Buffer.from(Uint16Array.from({ length: n * d }, (_, i) => 0x3000 + (i % 3000)).buffer).toString(
          'base64',
        )
      : Buffer.from(
          (dtype === 'float32' ? new Float32Array(elements(n * d)) : new Float64Array(elements(n * d)))
            .buffer,
        ).toString('base64'),
})

/** Reading them. */
const bodies: PlanCase[] = [20, 10_000].flatMap(n => {
  const read = (name: string, x: unknown, more: Body = {}): PlanCase => ({
    name: `read ${name}, ${n} rows`,
    path: '/v1/positional-encoding',
    body: { kind: 'sinusoidal', x, ...more },
    elements: true,
    format: 'safetensors',
  })
  const digits = (places: number) => values(n, 8).map(row => row.map(x => Number(x.toFixed(places))))
  return [
    read('numbers', values(n, 8)),
    read('short numbers', digits(2)),
    read('numbers as float64', values(n, 8), { precision: 'float64' }),
    read('flat numbers of float32', { shape: [n, 8], dtype: 'float32', data: values(n, 8).flat() }),
    read('base64 of float32', base64(n, 8, 'float32')),
    read('base64 of float64', base64(n, 8, 'float64'), { precision: 'float64' }),
    read('base64 of float16', base64(n, 8, 'float16')),
  ]
})

export const PLAN_CASES: PlanCase[] = [
  ...options,
  ...maps,
  ...tangents,
  ...gradients,
  ...hashed,
  ...nonFinite,
  ...sizes,
  ...layers,
  ...activations,
  ...answers,
  ...bodies,
]
