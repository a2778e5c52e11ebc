/** Calls of libraries as Python text: what a request means, in expressions of NumPy, JAX or PyTorch. */
import type { Meaning, Shift } from './meaning.ts'

/** A call, and the lines before it. */
export interface Call {
  setup?: string[]
  call: string
}

/** Why a library cannot say it. */
export interface Cannot {
  cannot: string
}

export type Module = 'torch' | 'np' | 'jnp'

export type RuleName =
  | 'causal'
  | 'window'
  | 'kv_lengths'
  | 'q_lengths'
  | 'segments'
  | 'attention_kind'
  | 'mask'

const WIDE = '[:, None, None, None]'

/** Row i's place among the keys. */
function place({ g, kvLengths, qLengths }: Meaning, shift: Shift): string {
  if (shift === 'lengths') {
    const [m, n] = [kvLengths ? 'kv_lengths' : g.keys, qLengths ? 'q_lengths' : g.queries]
    return `(i + (${m} - ${n})${WIDE})`
  }
  if (shift === 0) return 'i'
  return shift > 0 ? `(i + ${shift})` : `(i - ${-shift})`
}

/** For each rule that is set, which pairs it allows; bool arrays that broadcast to [B, H, N, M]. */
export function rulesIn(m: Meaning): Map<RuleName, string> {
  const rules = new Map<RuleName, string>()
  const at = place(m, m.shift)
  if (m.causal) rules.set('causal', m.prefix ? `(j <= ${at}) | (j < prefix_lengths${WIDE})` : `j <= ${at}`)
  if (m.window !== undefined) {
    const { left, right, shift } = m.window
    const from = place(m, shift)
    const sides = [
      left === null ? [] : `(j >= ${from} - ${left})`,
      right === null ? [] : `(j <= ${from} + ${right})`,
    ]
    rules.set('window', sides.flat().join(' & '))
  }
  if (m.qLengths) rules.set('q_lengths', `i < q_lengths${WIDE}`)
  if (m.kvLengths) rules.set('kv_lengths', `j < kv_lengths${WIDE}`)
  if (m.segments) {
    const same = '(q_segments[:, None, :, None] == kv_segments[:, None, None, :])'
    rules.set('segments', `${same} & (q_segments >= 0)[:, None, :, None]`)
  }
  const { kind, size, previous, window } = m.kind
  if (kind === 'local') rules.set('attention_kind', `abs(${at} - j) <= ${window}`)
  if (kind === 'block') {
    const block = `(j // ${size} == ${at} // ${size})`
    rules.set('attention_kind', previous ? `${block} | (j // ${size} == ${at} // ${size} - 1)` : block)
  }
  if (m.mask !== undefined && !m.mask.float) rules.set('mask', maskIn(m))
  return rules
}

/** The mask in axes of its own: that of a q without heads lacks them. */
function maskIn({ mask, rank }: Meaning): string {
  const axes = rank === 3 && mask?.rank === 3 ? 'mask[:, None]' : 'mask'
  return mask?.negated ? `~${axes}` : axes
}

/** The rules but those that the call says in its own arguments; undefined without any. */
export function allowed(m: Meaning, said: readonly RuleName[] = []): string | undefined {
  const rules = [...rulesIn(m)].flatMap(([name, rule]) => (said.includes(name) ? [] : rule))
  if (rules.length === 0) return undefined
  return rules.length === 1 ? rules[0] : rules.map(rule => `(${rule})`).join(' & ')
}

/** Whether an expression has axes of batch and heads, where `i` and `j` alone have none. */
export function isPerBatch(m: Meaning): boolean {
  const { kvLengths, qLengths, segments, prefix, mask } = m
  return kvLengths || qLengths || segments || prefix || (mask?.rank ?? 0) > 2
}

/** What is added to the scores, apart from −∞; undefined where nothing is. */
export function biasIn(m: Meaning): string | undefined {
  const parts: string[] = []
  if (m.mask?.float) parts.push(maskIn(m))
  if (m.alibi !== undefined) parts.push(`-alibi[:, None, None] * abs(${place(m, m.shift)} - j)`)
  return parts.length === 0 ? undefined : parts.join(' + ')
}

const ARRAYS: Record<Module, string> = { torch: 'torch.tensor', np: 'np.array', jnp: 'jnp.array' }

/** The lines that what stands in expressions needs. */
export function setupFor(m: Meaning, module: Module, ...expressions: (string | undefined)[]): string[] {
  const text = expressions.join(' ')
  const lines: string[] = []
  if (/\bi\b/.test(text)) lines.push(`i = ${module}.arange(${m.g.queries})[:, None]`)
  if (/\bj\b/.test(text)) lines.push(`j = ${module}.arange(${m.g.keys})`)
  if (Array.isArray(m.alibi) && /\balibi\b/.test(text)) {
    lines.push(`alibi = ${ARRAYS[module]}([${m.alibi.join(', ')}])`)
  }
  return lines
}

/** −∞ where a pair is not allowed, and what is added elsewhere. */
export function added(
  module: Module,
  open: string | undefined,
  bias: string | undefined,
): string | undefined {
  if (open === undefined) return bias
  return `${module}.where(${open}, ${bias ?? '0.0'}, -${module}.inf)`
}

/** q, k and v in the order of axes that the library has; keys and values of the past stand before the new ones. */
export function tensorsIn(m: Meaning, module: Module, layout: 'bhnd' | 'bnhd', pastApart = false): string[] {
  const swap = module === 'torch' ? '.transpose(1, 2)' : '.swapaxes(1, 2)'
  const ordered = (name: string) => {
    if (m.rank === 4) return (m.positionsFirst ? 'bnhd' : 'bhnd') === layout ? name : `${name}${swap}`
    const ofHeads = layout === 'bhnd' ? ['[:, None]', '[None, None]'] : ['[:, :, None]', '[None, :, None]']
    return `${name}${ofHeads[m.rank === 3 ? 0 : 1]}`
  }
  const axis = layout === 'bhnd' ? 2 : 1
  const join = module === 'torch' ? 'cat' : 'concatenate'
  const whole = (name: string) => {
    if (m.past === 0 || pastApart) return ordered(name)
    return `${module}.${join}((${ordered(`past_${name}`)}, ${ordered(name)}), ${axis})`
  }
  return [ordered('q'), whole('k'), whole('v')]
}

/** name=value of those that are there. */
export function named(values: Record<string, string | number | undefined>): string[] {
  return Object.entries(values).flatMap(([name, value]) => (value === undefined ? [] : `${name}=${value}`))
}

export interface Abilities {
  softcap?: true
  packed?: true
  gqa?: false
  scale?: false
}

/** Why a library without these cannot say it, if so. */
export function reasonAgainst(m: Meaning, abilities: Abilities): string | undefined {
  const { kind } = m.kind
  if (!['softmax', 'local', 'block'].includes(kind)) return `it has no ${kind} attention`
  if (m.sinks) return 'it has no argument for sinks'
  if (m.relativeBias) return 'the bias has to be looked up in its table and given as a float mask'
  if (m.packed && !abilities.packed) return 'it has no packed sequences (cu_seqlens)'
  if (m.softcap !== undefined && !abilities.softcap) return 'it has no softcap'
  if (m.g.heads !== m.g.kvHeads && abilities.gqa === false)
    return 'it has as many heads of keys as of queries'
  if (m.scale !== undefined && abilities.scale === false) return 'its scale is 1/sqrt(d)'
  return undefined
}
