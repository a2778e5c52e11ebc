/** `torch.nn.functional.scaled_dot_product_attention`. Since PyTorch 2.5 a row that attends to nothing is zeros; before, NaN. */
import { added, allowed, biasIn, named, reasonAgainst, setupFor, tensorsIn } from './call.ts'
import { defineDialect, topLeft } from './dialect.ts'

export const torchSdpa = defineDialect({
  library: 'PyTorch 2.15, torch.nn.functional.scaled_dot_product_attention',
  layout: 'bhnd',
  corner: topLeft,
  maskTrue: 'may attend',
  emptyRows: 'zeros',
  weights: 'per head',
  call(m) {
    const cannot = reasonAgainst(m, {})
    if (cannot !== undefined) return { cannot }
    const [bias, others] = [biasIn(m), allowed(m, ['causal'])]
    // is_causal stands beside no mask, and counts from the top left
    const causal = m.causal && m.shift === 0 && !m.prefix && bias === undefined && others === undefined
    const open = causal ? undefined : allowed(m)
    const mask = bias === undefined ? open : added('torch', open, bias)
    const fields = named({
      attn_mask: mask,
      is_causal: causal ? 'True' : undefined,
      scale: m.scale,
      dropout_p: m.dropout,
      enable_gqa: m.g.heads === m.g.kvHeads ? undefined : 'True',
    })
    const args = [...tensorsIn(m, 'torch', 'bhnd'), ...fields]
    const setup = setupFor(m, 'torch', mask)
    return { setup, call: `torch.nn.functional.scaled_dot_product_attention(${args.join(', ')})` }
  },
})
