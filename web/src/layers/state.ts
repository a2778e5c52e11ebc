/** What the Layers view runs and shows, and how it stands in the address. */
import { words } from '../attention/seeded.ts'
import { SENTENCE } from '../attention/state.ts'
import { SEEDED } from '../page/address.ts'

export const POSITIONS = ['none', 'sinusoidal', 'rope', 'alibi'] as const
export const NORMS = ['pre', 'post'] as const
export const PASSES = ['forward', 'backward'] as const
export type Pass = (typeof PASSES)[number]

export const LIMITS = {
  tokens: [1, 2048],
  layers: [1, 24],
  heads: [1, 16],
  dimHead: [2, 64],
  seed: [0, 2 ** 31],
} as const

export interface LayersState {
  /** which model runs; undefined: the first one that the server has */
  model: string | undefined
  /** undefined: what is shown where nobody has written anything */
  sentence: string | undefined
  /** how many tokens; the sentence is repeated, or cut, to as many. 0: as many as it has */
  tokens: number
  layers: number
  heads: number
  /** d_model / heads */
  dimHead: number
  seed: number
  position: (typeof POSITIONS)[number]
  norm: (typeof NORMS)[number]
  causal: boolean
  backward: boolean
  log: boolean
  /** whether special tokens are left out of what is drawn */
  fold: boolean
  /** the map that is shown in full */
  selected: { layer: number; head: number } | undefined
  /** the query row whose keys are shown, among those that are drawn */
  row: number
  /** whether the stack has been run: a link to a run runs it again */
  run: boolean
}

export const INITIAL: LayersState = {
  model: undefined,
  sentence: undefined,
  tokens: 0,
  layers: 6,
  heads: 8,
  dimHead: 16,
  seed: 42,
  position: 'sinusoidal',
  norm: 'pre',
  causal: false,
  backward: true,
  log: false,
  fold: false,
  selected: undefined,
  row: 0,
  run: false,
}

/** The tokens of the seeded stack. */
export function tokensOf({ sentence = SENTENCE, tokens }: LayersState): string[] {
  const all = words(sentence)
  if (all.length === 0) return []
  const count = tokens === 0 ? Math.min(all.length, LIMITS.tokens[1]) : tokens
  return Array.from({ length: count }, (_, index) => all[index % all.length]!)
}

const NUMBERS = ['tokens', 'layers', 'heads', 'dimHead', 'seed'] as const
const STACK_FLAGS = ['causal', 'backward'] as const
const FLAGS = ['log', 'fold', 'run'] as const
/** Addresses that have one of these and no model are of the seeded stack: there was nothing else to run once. */
const STACK = [...NUMBERS, ...STACK_FLAGS, 'sentence', 'position', 'norm', 'run', 'map']

export function writeLayers(state: LayersState): URLSearchParams {
  const params = new URLSearchParams()
  const { model, sentence, selected } = state
  if (model !== undefined) params.set('model', model)
  if (sentence !== undefined) params.set('sentence', sentence)
  if (!model) writeStack(state, params)
  for (const name of FLAGS) if (state[name]) params.set(name, '1')
  if (state.row !== 0) params.set('row', String(state.row))
  if (selected !== undefined) params.set('map', `${selected.layer},${selected.head}`)
  return params
}

function writeStack(state: LayersState, params: URLSearchParams): void {
  for (const name of NUMBERS) if (state[name] !== INITIAL[name]) params.set(name, String(state[name]))
  for (const name of STACK_FLAGS) if (state[name] !== INITIAL[name]) params.set(name, state[name] ? '1' : '0')
  if (state.position !== INITIAL.position) params.set('position', state.position)
  if (state.norm !== INITIAL.norm) params.set('norm', state.norm)
}

export function readLayers(params: URLSearchParams): LayersState {
  const state: LayersState = { ...INITIAL }
  const ofStack = STACK.some(name => params.has(name))
  state.model = params.get('model')?.slice(0, 255) ?? (ofStack ? SEEDED : undefined)
  state.sentence = params.get('sentence')?.slice(0, 20_000)
  const limits = { ...LIMITS, tokens: [0, LIMITS.tokens[1]] } as const
  for (const name of NUMBERS) state[name] = whole(params.get(name), limits[name]) ?? state[name]
  for (const name of [...STACK_FLAGS, ...FLAGS]) {
    const flag = params.get(name)
    if (flag === '0' || flag === '1') state[name] = flag === '1'
  }
  state.row = whole(params.get('row'), [0, LIMITS.tokens[1] - 1]) ?? state.row
  state.position = POSITIONS.find(name => name === params.get('position')) ?? state.position
  state.norm = NORMS.find(name => name === params.get('norm')) ?? state.norm
  const [layer, head] = (params.get('map') ?? '').split(',').map(text => whole(text, [0, 255]))
  const fits = (at: number, count: number) => state.model !== SEEDED || at < count
  if (layer !== undefined && head !== undefined && fits(layer, state.layers) && fits(head, state.heads)) {
    state.selected = { layer, head }
  }
  return state
}

function whole(text: string | null | undefined, [low, high]: readonly [number, number]): number | undefined {
  if (text === null || text === undefined || !/^\d{1,10}$/.test(text)) return undefined
  const value = Number(text)
  return value >= low && value <= high ? value : undefined
}
