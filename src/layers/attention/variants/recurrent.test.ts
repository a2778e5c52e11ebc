/** Gated, delta, gated-delta and unnormalised linear attention against their recurrence, and all gradients by central differences. */
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Body, drawer, expectGradients, type Flat } from '../../../../test/support/layer-cases.ts'
import { runProgram } from '../../../../test/support/run-program.ts'

const PATH = '/v1/attention'

const KINDS = ['gated', 'gated_linear', 'delta', 'gated_delta', 'relu', 'identity'] as const
type Kind = (typeof KINDS)[number]

const spec = fc.record({
  kind: fc.constantFrom(...KINDS),
  batch: fc.integer({ min: 1, max: 2 }),
  kvHeads: fc.integer({ min: 1, max: 2 }),
  group: fc.integer({ min: 1, max: 2 }),
  n: fc.constantFrom<number>(1, 5, 17, 70),
  m: fc.constantFrom<number>(1, 7, 23, 66),
  d: fc.constantFrom<number>(1, 4, 7),
  dv: fc.constantFrom<number>(1, 3, 17),
  causal: fc.constantFrom<boolean | string | undefined>(undefined, false, true, 'bottom_right'),
  lengths: fc.boolean(),
  state: fc.boolean(),
  byHead: fc.boolean(),
  oneBeta: fc.boolean(),
  scale: fc.constantFrom(undefined, 0.3),
  seed: fc.integer({ min: 1, max: 2 ** 31 }),
})
type Spec = typeof spec extends fc.Arbitrary<infer T> ? T : never

const map = (x: Flat, of: (value: number) => number): Flat => ({ ...x, data: x.data.map(of) })

/** A request, and how many keys and queries it has. */
function bodyOf(of: Spec): Body & { q: Flat; k: Flat; v: Flat } {
  const { kind, batch, kvHeads, group, d, dv, n, lengths, causal, scale } = of
  const gated = !isLinear(kind)
  const m = gated ? n : of.m
  const draw = drawer(of.seed)
  const decay = kind.startsWith('gated') && {
    decay: map(draw(batch, m, kvHeads * (of.byHead ? 1 : d)), x => -Math.abs(x) / 2),
  }
  const beta = kind.includes('delta') && {
    beta: map(draw(batch, m, of.oneBeta ? 1 : kvHeads), x => 1 / (1 + Math.exp(-2 * x))),
  }
  const lengthsOf = (most: number) => Array.from({ length: batch }, (_, b) => Math.max(0, most - 2 * b - 1))
  return {
    precision: 'float64',
    q: draw(batch, kvHeads * group, n, d),
    k: map(draw(batch, kvHeads, m, d), x => x / Math.sqrt(d)),
    v: draw(batch, kvHeads, m, dv),
    attention_kind: gated ? { kind, gates: { ...decay, ...beta } } : { kind: 'linear', feature: kind },
    causal: gated && causal === false ? undefined : causal,
    scale,
    ...(of.state && { state: { s: draw(batch, kvHeads, d, dv) } }),
    ...(lengths && { q_lengths: lengthsOf(n), kv_lengths: lengthsOf(m) }),
    return: ['output', 'state'],
    backward: { grad_output: draw(batch, kvHeads * group, n, dv) },
  }
}

function isLinear(kind: Kind): kind is 'relu' | 'identity' {
  return kind === 'relu' || kind === 'identity'
}

/** The definition, head by head and token by token. */
function defined(of: Spec, body: ReturnType<typeof bodyOf>) {
  const { kind, batch, kvHeads, group, d, dv, n } = of
  const m = body.k.shape[2]
  const phi = (x: number) => (kind === 'relu' ? Math.max(0, x) : x)
  const { gates = {} } = body.attention_kind as { gates?: Record<string, Flat> }
  const gate = (name: string, b: number, j: number, h: number, at: number) => {
    const x = gates[name]
    if (x === undefined) return undefined
    const perHead = Math.max(1, x.shape[2] / kvHeads)
    const head = x.shape[2] === 1 ? 0 : h
    return x.data[(b * m + j) * x.shape[2] + head * perHead + (perHead === 1 ? 0 : at)]
  }
  const given = (body.state as { s: Flat } | undefined)?.s
  const output: number[] = []
  const states: number[] = []
  const lengths = body as { q_lengths?: number[]; kv_lengths?: number[] }
  for (let b = 0; b < batch; b++) {
    const [live, seen] = [lengths.q_lengths?.[b] ?? n, lengths.kv_lengths?.[b] ?? m]
    const shift = body.causal === 'bottom_right' ? seen - live : 0
    const causal = !isLinear(kind) || Boolean(body.causal)
    for (let h = 0; h < kvHeads; h++) {
      const kv = b * kvHeads + h
      let S = Array.from({ length: d }, (_, a) =>
        Array.from({ length: dv }, (_, c) => given?.data[(kv * d + a) * dv + c] ?? 0),
      )
      const after = [S]
      for (let j = 0; j < seen; j++) {
        const k = Array.from({ length: d }, (_, a) => phi(body.k.data[(kv * m + j) * d + a]))
        const decayed = S.map((row, a) => row.map(x => Math.exp(gate('decay', b, j, h, a) ?? 0) * x))
        const beta = gate('beta', b, j, h, 0)
        S = decayed.map((row, a) =>
          row.map((x, c) => {
            const v = body.v.data[(kv * m + j) * dv + c]
            const read = decayed.reduce((sum, other, e) => sum + other[c] * k[e], 0)
            return x + k[a] * (beta === undefined ? v : beta * (v - read))
          }),
        )
        after.push(S)
      }
      states.push(...S.flat())
      for (let member = 0; member < group; member++) {
        for (let i = 0; i < n; i++) {
          const to = causal ? Math.max(0, Math.min(seen, i + shift + 1)) : seen
          const row = ((b * kvHeads + h) * group + member) * n + i
          for (let c = 0; c < dv; c++) {
            const read = after[to].reduce((sum, s, a) => sum + phi(body.q.data[row * d + a]) * s[c], 0)
            output.push(i < live ? ((body.scale as number | undefined) ?? 1 / Math.sqrt(d)) * read : 0)
          }
        }
      }
    }
  }
  return { output, states }
}

function expectClose(actual: readonly number[], expected: readonly number[], tolerance: number): void {
  expect(actual.length).toBe(expected.length)
  const largest = expected.reduce((most, x) => Math.max(most, Math.abs(x)), 1)
  const worst = expected.reduce((most, x, i) => Math.max(most, Math.abs(x - actual[i])), 0)
  expect(worst).toBeLessThan(tolerance * largest)
}

describe('the recurrence', () => {
  it('is what its definition says', async () => {
    await fc.assert(
      fc.asyncProperty(spec, async of => {
        const body = bodyOf(of)
        const expected = defined(of, body)
        for (const precision of ['float64', 'float32']) {
          const { tensors } = await runProgram(PATH, { ...body, precision })
          const tolerance = precision === 'float64' ? 1e-12 : 1e-5
          expectClose(tensors.output.data, expected.output, tolerance)
          expectClose(tensors['state.s'].data, expected.states, tolerance)
          expect(tensors['state.s'].shape).toEqual([of.batch, of.kvHeads, of.d, of.dv])
        }
      }),
      { numRuns: 120 },
    )
  })

  it('has the gradients that central differences find', async () => {
    const picks = fc.array(fc.nat(10000), { minLength: 2, maxLength: 2 })
    await fc.assert(
      fc.asyncProperty(spec, picks, async (drawn, picks) => {
        const of = { ...drawn, n: Math.min(drawn.n, 17), m: Math.min(drawn.m, 23) }
        const body = bodyOf(of)
        const gates = Object.keys((body.attention_kind as { gates?: object }).gates ?? {})
        const names = ['q', 'k', 'v', ...gates.map(name => `attention_kind.gates.${name}`)]
        const wrt = of.state ? [...names, 'state'] : undefined
        const backward = { ...(body.backward as Body), wrt }
        const found = await expectGradients(PATH, { ...body, backward }, picks)
        expect(found).toEqual(of.state ? [...names, 'state.s'] : names)
      }),
      { numRuns: 60 },
    )
  })

  it('has gradients through chunks', async () => {
    for (const kind of ['gated_delta', 'gated', 'identity'] as const) {
      const of: Spec = {
        kind,
        batch: 1,
        kvHeads: 2,
        group: 2,
        n: 150,
        m: 150,
        d: 3,
        dv: 2,
        causal: true,
        lengths: false,
        state: true,
        byHead: false,
        oneBeta: true,
        scale: undefined,
        seed: 7,
      }
      const body = bodyOf(of)
      const backward = { ...(body.backward as Body), wrt: ['q', 'k', 'v', 'attention_kind', 'state'] }
      if (isLinear(kind)) backward.wrt = ['q', 'k', 'v', 'state']
      await expectGradients(PATH, { ...body, backward }, [0, 77, 400])
    }
  })
})
