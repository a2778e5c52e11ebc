/** What the Layers view exports: the grid as a picture, the map on screen as numbers, the stack as a request. */
import type { Exportable } from '../export/export-bar.ts'
import type { NamedTensor } from '../export/safetensors.ts'
import type { LayersModel } from './model.ts'
import { embeddings, requestOf } from './request.ts'
import { sheetOfRun } from './sheet.ts'
import { type LayersState, PASSES, tokensOf } from './state.ts'
import { TENSOR } from './thumbnail.ts'

export function exportableLayers(model: LayersModel): Exportable {
  const of = () => model.of ?? model.state.value
  /** the full maps of the head that is shown */
  const maps = () => {
    const { selected } = model.state.value
    if (selected === undefined) return []
    return PASSES.flatMap(pass => {
      const map = model.map({ pass, ...selected })
      return map === undefined ? [] : [{ name: TENSOR[pass], map }]
    })
  }
  return {
    get name() {
      const { selected } = model.state.value
      const head = selected && `${selected.layer + 1}-${selected.head + 1}`
      return ['layers', of().model, head].filter(Boolean).join('-')
    },
    picture: () => sheetOfRun(model),
    matrices: () => {
      const tokens = model.drawn.names
      const { selected } = model.state.value
      const entropy = selected && model.thumbnail('forward', selected.layer, selected.head)?.entropy
      return [
        ...maps().map(({ name, map }) => ({
          name,
          rows: tokens,
          cols: tokens,
          value: (row: number, col: number) => map.data[row * map.cols + col]!,
        })),
        ...(entropy
          ? [{ name: 'entropy', rows: tokens, cols: ['H'], value: (row: number) => entropy[row]! }]
          : []),
      ]
    },
    tensors: () => {
      const open = maps().map(({ name, map }) => ({ name, shape: [map.rows, map.cols], data: map.data }))
      return [...(of().model ? entropies(model, of()) : [embeddingsOf(of())]), ...open]
    },
    facts: () => ({
      loss: model.status.value.loss,
      tokens: model.drawn.strings,
      ...model.state.value.selected,
    }),
    request: () => requestOf(of()),
  }
}

function embeddingsOf(state: LayersState): NamedTensor {
  const tokens = tokensOf(state)
  const dim = state.heads * state.dimHead
  return { name: 'x', shape: [tokens.length, dim], data: embeddings(tokens, dim, state.seed) }
}

/** [H, N] of every layer that has come. */
function entropies(model: LayersModel, { layers, heads }: LayersState): NamedTensor[] {
  return Array.from({ length: layers }, (_, layer) => {
    const rows = Array.from(
      { length: heads },
      (_, head) => model.thumbnail('forward', layer, head)?.entropy ?? new Float32Array(),
    )
    const data = Float32Array.from(rows.flatMap(row => [...row]))
    return { name: `layers.${layer}.entropy`, shape: [heads, rows[0]?.length ?? 0], data }
  }).filter(({ data }) => data.length > 0)
}
