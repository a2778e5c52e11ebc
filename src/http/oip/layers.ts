/** Outputs of layers: where the request does not choose layers itself, those are computed that outputs are of. */
import type { OutputOf } from './models.ts'

/** Options that say something of every layer. */
const OF_ALL = ['layers', 'top_keys', 'emit']
const RETURNED_OF_ALL = ['top_keys', 'head_metrics']

/** The outputs' names in the program become those of places among the layers. Returns which output is the first of each layer. */
export function chooseLayers(asked: OutputOf[], tree: Record<string, unknown>): number[] {
  const layers = [...new Set(asked.flatMap(({ layer }) => layer ?? []))].sort((a, b) => a - b)
  const all = OF_ALL.some(name => tree[name] != null)
  if (layers.length === 0 || all || asked.some(({ returned = '' }) => RETURNED_OF_ALL.includes(returned))) {
    return []
  }
  tree.layers = layers
  for (const output of asked) {
    const { layer, from } = output
    if (layer === undefined) continue
    output.from = from.replace(/(?<=(^|\.)layers\.)\d+(?=\.)/, String(layers.indexOf(layer)))
  }
  return layers.map(layer => asked.findIndex(output => output.layer === layer))
}
