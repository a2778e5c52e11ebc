/** Activations by the names that configurations have for them. */
import { unsupported } from '../config.ts'

const PLAIN: Record<string, string> = {
  gelu: 'gelu',
  gelu_new: 'gelu_tanh',
  gelu_fast: 'gelu_tanh',
  gelu_pytorch_tanh: 'gelu_tanh',
  relu: 'relu',
  silu: 'silu',
  swish: 'silu',
  quick_gelu: 'quick_gelu',
}

const GATED: Record<string, string> = { silu: 'swiglu', gelu: 'geglu', gelu_tanh: 'geglu_tanh' }

export function activation(name: string): string {
  if (PLAIN[name] !== undefined) return PLAIN[name]
  throw unsupported(`config.json: the activation ${name} is not supported`)
}

/** Of a feed-forward network with a gate. */
export function gatedActivation(name: string): string {
  const gated = GATED[activation(name)]
  if (gated !== undefined) return gated
  throw unsupported(`config.json: the activation ${name} of a gate is not supported`)
}
