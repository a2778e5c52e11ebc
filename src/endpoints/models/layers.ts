/** What is asked of each layer on the way forward, put out right behind it. */
import type { Ref } from '../../../workers/contract.ts'
import {
  type AttentionState,
  attentionAnswers,
  crossNames,
  requestedResults,
} from '../../layers/attention/index.ts'
import type { MultiHeadState } from '../../layers/multi-head.ts'
import type { RequestProgram } from '../../layers/program-builder.ts'
import { presentOutputs } from '../../layers/stack-past.ts'
import type { Observer, Role } from '../../models/run.ts'
import type { Asked, Outlet } from './outlets.ts'
import type { Readings } from './readings.ts'

/** Maps and rows of attention, by their names. */
const OF_ATTENTION = /weights$|scores$|logsumexp$|entropy$|max_score$/

/** Whether maps and rows, readings or gradients are asked for, of layers that are then all of them. */
export function asksLayers(names: readonly string[]): boolean {
  return names.some(name => OF_ATTENTION.test(name) || READ.includes(name) || name.startsWith('grad_'))
}

/** Read off the weights. */
const READ = ['head_metrics', 'top_keys']

/** What is seen on the way, beside what goes out. */
export interface Seen {
  /** inputs of every layer, and the last one's output */
  hidden: Record<Role, Ref[]>
  /** of the decoder's layers */
  attended: AttentionState[]
}

/** `whole`: the weights of every layer are read, whichever are chosen. */
export function layerObserver(
  p: RequestProgram,
  { names, layers, outlets }: Asked,
  readings: Readings,
  whole: boolean,
  { hidden, attended }: Seen,
): Observer {
  const chosen = new Set(layers)
  const cross = crossNames(names)
  const own = names.filter(name => OF_ATTENTION.test(name) && !/^(cross|grad)_/.test(name))
  const wanted = requestedResults({ return: own })
  const wantedCross = requestedResults({ return: cross })
  const reads = names.some(name => READ.includes(name))
  const mapsOf = (layer: number) => {
    const maps = chosen.has(layer) ? (wanted.maps ?? []) : []
    const needed = whole || (reads && chosen.has(layer))
    return needed && !maps.includes('weights') ? [...maps, 'weights' as const] : maps
  }
  const ofChosen =
    <T>(list: readonly T[] | undefined) =>
    (layer: number) =>
      chosen.has(layer) ? (list ?? []) : []
  return {
    entropy: wanted.entropy || wantedCross.entropy,
    requested: role => ({
      maps: role === 'decoder' || !whole ? mapsOf : ofChosen(wanted.maps),
      crossMaps: ofChosen(role === 'decoder' ? wantedCross.maps : []),
      maxima: wanted.maxima,
      crossMaxima: wantedCross.maxima,
    }),
    embedded: (role, x) => void hidden[role].push(x),
    forward(role, layer, { attention, cross: ofContext, output }) {
      hidden[role].push(output)
      if (role === 'decoder') attended.push(attention.attention)
      const at = { pass: 'forward', role, layer } as const
      const outlet = outlets.of(at)
      if (outlet !== undefined) {
        const { batch, queries } = attention.attention.plan.geometry
        const dModel = p.buffers[output].length / (batch * queries)
        if (names.includes('output')) outlet.tensor('output', output, [batch, queries, dModel])
        attentionOf(p, outlet, attention, own, '')
        if (ofContext !== undefined) attentionOf(p, outlet, ofContext, cross, 'cross_')
        readings.layer(p, role, attention.attention, outlet)
      }
      if (names.includes('present') && role === 'decoder') {
        for (const { name, buffer, shape } of presentOutputs(attention.attention, layer))
          outlets.present(at, name, buffer, shape)
      }
      outlets.done(at)
    },
  }
}

function attentionOf(
  p: RequestProgram,
  outlet: Outlet,
  { attention }: MultiHeadState,
  names: readonly string[],
  prefix: string,
): void {
  const { geometry } = attention.plan
  attentionAnswers(p, attention, names, false, prefix, (name, buffer, shape, guide) =>
    outlet.heads(name, buffer, shape, geometry, guide),
  )
}
