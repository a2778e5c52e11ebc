/** A node of ONNX's Attention: attributes where the opset has them for what is meant, the rest in attn_mask. */
import {
  added,
  allowed,
  biasIn,
  type Call,
  type Cannot,
  named,
  type RuleName,
  reasonAgainst,
  setupFor,
  tensorsIn,
} from './call.ts'
import type { Meaning, Shift } from './meaning.ts'

/** What an opset has beside a mask. */
interface Opset {
  lengths: boolean
  windows: boolean
}

export function onnxCall(m: Meaning, { lengths, windows }: Opset): Call | Cannot {
  const cannot =
    reasonAgainst(m, { softcap: true }) ?? (m.dropout === undefined ? undefined : 'it has no dropout')
  if (cannot !== undefined) return { cannot }
  const apart = m.past > 0
  const said: RuleName[] = []
  // what counts from the end of each batch element's keys needs the input that says where that is
  const given = lengths && m.kvLengths && !m.qLengths && !apart
  if (given) said.push('kv_lengths')
  const corner: Shift = given ? 'lengths' : m.past
  const causal = m.causal && m.shift === corner && !m.prefix
  if (causal) said.push('causal')
  const window = windows && m.window?.shift === corner ? m.window : undefined
  if (window !== undefined) said.push('window')
  const [open, bias] = [allowed(m, said), biasIn(m)]
  const mask = bias === undefined ? open : added('np', open, bias)
  const shaped = mask && `attn_mask = np.asarray(${mask})${bias === undefined ? '' : '.astype(np.float32)'}`
  const [q, k, v] = tensorsIn(m, 'np', 'bhnd', true)
  const values = [`Q, K, V = ${q}, ${k}, ${v}`]
  if (apart) values.push(`past_key, past_value = ${pastIn(m)}`)
  if (given) values.push('nonpad_kv_seqlen = kv_lengths')
  const inputs = ['Q', 'K', 'V', mask ? 'attn_mask' : '', ...(apart ? ['past_key', 'past_value'] : ['', ''])]
  inputs.push(given ? 'nonpad_kv_seqlen' : '')
  while (inputs.at(-1) === '') inputs.pop()
  const outputs = apart ? '["Y", "present_key", "present_value"]' : '["Y"]'
  const attributes = named({
    is_causal: causal ? 1 : undefined,
    scale: m.scale,
    softcap: m.softcap,
    left_window_size: window?.left ?? undefined,
    right_window_size: window?.right ?? undefined,
  })
  const args = ['"Attention"', JSON.stringify(inputs).replaceAll(',', ', '), outputs, ...attributes]
  const setup = [...values, ...setupFor(m, 'np', mask), ...(shaped ? [shaped] : [])]
  return { setup, call: `onnx.helper.make_node(${args.join(', ')})` }
}

function pastIn(m: Meaning): string {
  const axes =
    { 4: m.positionsFirst ? '.swapaxes(1, 2)' : '', 3: '[:, None]', 2: '[None, None]' }[m.rank] ?? ''
  return `past_k${axes}, past_v${axes}`
}
