/** Rotary embeddings as configurations say them: transformers 5 (`rope_parameters`) and before (`rope_theta`, `rope_scaling`). */
import { type Fields, isFields, type ModelConfig, unsupported } from '../config.ts'

/** Of all layers, or of those of one type of attention. `fallback`: the base where none is said. */
export function ropeOf(config: ModelConfig, type?: string, fallback = 10000): Fields {
  const { rope_parameters: parameters, rope_scaling: scaling, rope_theta: theta } = config.fields
  const byType = isFields(parameters) && type !== undefined && isFields(parameters[type])
  const given = byType ? (parameters as Record<string, Fields>)[type as string] : parameters
  const found = isFields(given) ? given : isFields(scaling) ? scaling : {}
  const base = found.rope_theta ?? theta ?? fallback
  const kind = found.rope_type ?? found.type ?? 'default'
  if (kind === 'longrope') throw unsupported('config.json: rope_type longrope is not supported')
  const { rope_theta: _base, type: _type, rope_type: _kind, ...fields } = found
  if (kind === 'default' && fields.partial_rotary_factor === undefined) return { base }
  const most = config.has('max_position_embeddings')
    ? { max_position_embeddings: config.count('max_position_embeddings') }
    : {}
  return { scaling: { ...fields, ...most, rope_type: kind, rope_theta: base } }
}
