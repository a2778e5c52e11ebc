/** ONNX’s Attention of opset 24: with `kv_lengths` (its nonpad_kv_seqlen) rows stand at the end of each batch element’s own keys. */
import { defineDialect } from './dialect.ts'
import { onnx23 } from './onnx-23.ts'
import { onnxCall } from './onnx-call.ts'

export const onnx24 = defineDialect({
  ...onnx23,
  library: 'ONNX 1.23, Attention-24',
  corner: ({ kvLengths, past }) => (kvLengths && !past ? 'bottom_right' : 'top_left'),
  call: m => onnxCall(m, { lengths: true, windows: false }),
})
