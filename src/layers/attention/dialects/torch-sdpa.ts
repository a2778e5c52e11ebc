/** `torch.nn.functional.scaled_dot_product_attention`. Since PyTorch 2.5 a row that attends to nothing is zeros; before, NaN. */
import { defineDialect, topLeft } from './dialect.ts'

export const torchSdpa = defineDialect({
  library: 'PyTorch 2.15, torch.nn.functional.scaled_dot_product_attention',
  layout: 'bhnd',
  corner: topLeft,
  maskTrue: 'may attend',
  emptyRows: 'zeros',
  weights: 'per head',
})
