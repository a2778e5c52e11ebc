/** Which layers a request of outputs computes. */
import { expect, it } from 'vitest'
import { chooseLayers } from '../../../src/http/oip/layers.ts'

const of = (layer: number, map = 'weights', encoder = '') => ({
  from: `${encoder}layers.${layer}.${map}`,
  returned: map,
  layer,
})

it('are those that its outputs are of, once each', () => {
  const asked = [
    of(7),
    { from: 'output', returned: 'output' },
    of(2, 'entropy'),
    of(7, 'weights', 'encoder.'),
  ]
  const tree: Record<string, unknown> = {}
  expect(chooseLayers(asked, tree)).toEqual([2, 0])
  expect(tree.layers).toEqual([2, 7])
  expect(asked.map(({ from }) => from)).toEqual([
    'layers.1.weights',
    'output',
    'layers.0.entropy',
    'encoder.layers.1.weights',
  ])
})

it('are the request’s own where it chooses, and all where something else is asked of each', () => {
  for (const tree of [{ layers: [3] }, { top_keys: {} }, { emit: ['weights'] }]) {
    const asked = [of(1)]
    expect(chooseLayers(asked, { ...tree })).toEqual([])
    expect(asked).toEqual([of(1)])
  }
  const tree = {}
  expect(chooseLayers([of(1), { from: 'head_metrics', returned: 'head_metrics' }], tree)).toEqual([])
  expect(tree).toEqual({})
})
