/** ONNX's LinearAttention (opset 27) as `POST /v1/attention` with an `attention_kind`, in layout bnhd. */
import type { OnnxCase, Tensors } from '../onnx-cases.ts'
import { headsApart, headsTogether } from '../tensors.ts'
import { endpointAt, inTypeOf, numberOf, type Reading } from './reading.ts'

export const linearAttention: Reading = {
  operator: 'LinearAttention',
  how: '`POST /v1/attention` with `attention_kind`',
  read(of) {
    const { query, key, value } = of.inputs
    return {
      endpoint: endpointAt('/v1/attention'),
      tensors: {
        q: headsApart(query, numberOf(of, 'q_num_heads', 1)),
        k: headsApart(key, numberOf(of, 'kv_num_heads', 1)),
        v: headsApart(value, numberOf(of, 'kv_num_heads', 1)),
        ...gatesOf(of),
        ...stateOf(of),
      },
      fields: {
        layout: 'bnhd',
        // a row reads the state as it is behind its own key
        causal: true,
        attention_kind: kindOf(of),
        ...scaleOf(of),
        ...inTypeOf(query),
        return: ['output', 'state'],
      },
      outputs: {
        output: ({ output }) => headsTogether(output),
        present_state: answer => answer['state.s'],
      },
    }
  },
}

/** The update rules are our kinds by the same names, but `linear`: there the feature map has to be none. */
function kindOf({ attributes }: OnnxCase) {
  const rule = attributes.update_rule ?? 'gated_delta'
  return rule === 'linear' ? { kind: 'linear', feature: 'identity' } : { kind: rule }
}

/** 0 is ONNX's way to say 1/√d_k, our default. */
function scaleOf(of: OnnxCase) {
  const scale = numberOf(of, 'scale', 0)
  return scale === 0 ? {} : { scale }
}

/** In ONNX's shapes. */
function gatesOf({ inputs: { decay, beta } }: OnnxCase): Tensors {
  return {
    ...(decay && { 'attention_kind.gates.decay': decay }),
    ...(beta && { 'attention_kind.gates.beta': beta }),
  }
}

/** [B, H_kv, d_k, d_v], whatever the layout; the state of a recurrence has one tensor. */
function stateOf({ inputs: { past_state } }: OnnxCase): Tensors {
  return past_state === undefined ? {} : { 'state.s': past_state }
}
