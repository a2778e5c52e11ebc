/** ONNX’s Attention of opset 25: as that of 24, and windows, counted from the same corner also without causal. */
import { defineDialect, openWhereNegative } from './dialect.ts'
import { onnx24 } from './onnx-24.ts'
import { onnxCall } from './onnx-call.ts'

export const onnx25 = defineDialect({
  ...onnx24,
  library: 'ONNX 1.23, Attention-25',
  window: openWhereNegative,
  windowForm: '[left_window_size, right_window_size] with −1 for unbounded',
  call: m => onnxCall(m, { lengths: true, windows: true }),
})
