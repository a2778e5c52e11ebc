/** The maps of a model as BertViz's views read them: a list a text (of T5 its encoder, decoder and cross-attention apart), layer by layer. */
import type { RequestProgram } from '../../layers/program-builder.ts'
import type { LoadedModel } from '../../models/loaded.ts'
import { fieldProblem } from '../../problem.ts'
import type { PreparedTokens } from './context.ts'
import type { ForwardRequest } from './request.ts'

export const BERTVIZ_TYPE = 'application/x-bertviz+json'

/** What such an answer is made of, whatever else was asked for. */
export function bertvizRequest(request: ForwardRequest, { plan }: LoadedModel): ForwardRequest {
  if (request.encoding !== 'nested') {
    throw fieldProblem(
      'INVALID_REQUEST',
      '/encoding',
      `expected nested with ${BERTVIZ_TYPE}, got ${request.encoding}`,
    )
  }
  const cross = plan.spec.encoder === undefined ? [] : (['cross_weights'] as const)
  return {
    ...request,
    return: ['weights', ...cross],
    next_tokens: undefined,
    top_keys: undefined,
    relevance: undefined,
    generate: undefined,
    backward: undefined,
    emit: undefined,
  }
}

/** Of each kind of attention: its tensors, its name in the views, and whose tokens stand on either side. */
const KINDS = [
  { at: /^encoder\.layers\.(\d+)\.weights$/, name: 'Encoder', left: 'text', right: 'text' },
  { at: /^layers\.(\d+)\.weights$/, name: 'Decoder', left: 'start', right: 'start' },
  { at: /^layers\.(\d+)\.cross_weights$/, name: 'Cross', left: 'start', right: 'text' },
] as const

/** As BertViz writes tokens into its views. Source: jessevig/bertviz 1.4.1, util.py, format_special_chars. */
function shown(token: string): string {
  return token.replaceAll(/[Ġ▁]/g, ' ').replaceAll('</w>', '')
}

/** Puts the tensors of a program that is whole into the form of the views. */
export function writeBertviz(
  p: RequestProgram,
  { tokens, nameOf }: PreparedTokens,
  { plan }: LoadedModel,
): void {
  const outputs = p.outputs.splice(0)
  const { encoder } = plan.spec
  const named = (id: number) => shown(nameOf?.(id) ?? String(id))
  const texts = Array.from({ length: tokens.batch }, (_, b) => {
    const own = tokens.ids.subarray(b * tokens.positions, (b + 1) * tokens.positions)
    return Array.from(own, named)
  })
  const fields: Record<string, unknown> = {}
  let entry = 0
  let layers = 0
  for (let b = 0; b < tokens.batch; b++) {
    for (const { at, name, left, right } of KINDS) {
      const own = outputs.filter(output => at.test(output.name))
      if (own.length === 0) continue
      for (const { name, buffer, shape } of own) {
        const [, ...map] = shape
        const count = map.reduce((product, extent) => product * extent, 1)
        const layer = at.exec(name)?.[1]
        p.output(`attention.${entry}.attn.${layer}`, p.part(buffer, b * count, count), map)
      }
      layers = own.length
      const side = (of: 'text' | 'start') =>
        of === 'text' || encoder === undefined ? texts[b] : [named(encoder.start)]
      const item = tokens.batch > 1 ? `${b}` : null
      fields[`attention.${entry}.name`] =
        encoder === undefined ? item : [name, item].filter(part => part !== null).join(' ')
      fields[`attention.${entry}.left_text`] = side(left)
      fields[`attention.${entry}.right_text`] = side(right)
      entry++
    }
  }
  const more = { default_filter: '0', display_mode: 'dark', layer: null, heads: null, head: null }
  p.report = () => ({
    ...fields,
    ...more,
    include_layers: Array.from({ length: layers }, (_, layer) => layer),
  })
}
