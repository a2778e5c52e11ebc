/** ONNX’s Attention of opset 23: rows stand behind the past. */
import { defineDialect, topLeft } from './dialect.ts'
import { onnxCall } from './onnx-call.ts'

export const onnx23 = defineDialect({
  library: 'ONNX 1.23, Attention-23',
  layout: 'bhnd',
  corner: topLeft,
  maskTrue: 'may attend',
  emptyRows: 'zeros',
  weights: 'per head',
  call: m => onnxCall(m, { lengths: false, windows: false }),
})
