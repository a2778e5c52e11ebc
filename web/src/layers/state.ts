/** What the Layers view runs and shows, and how it stands in the address. */
import { words } from '../attention/seeded.ts'

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
  sentence: string
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
  /** the map that is shown in full */
  selected: { layer: number; head: number } | undefined
  /** the query row whose keys are shown */
  row: number
  /** whether the stack has been run: a link to a run runs it again */
  run: boolean
}

export const INITIAL: LayersState = {
  sentence: 'The animal did not cross the street because it was too tired',
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
  selected: undefined,
  row: 0,
  run: false,
}

/** The tokens of the run. */
export function tokensOf({ sentence, tokens }: LayersState): string[] {
  const all = words(sentence)
  if (all.length === 0) return []
  const count = tokens === 0 ? Math.min(all.length, LIMITS.tokens[1]) : tokens
  return Array.from({ length: count }, (_, index) => all[index % all.length]!)
}

const NUMBERS = ['tokens', 'layers', 'heads', 'dimHead', 'seed', 'row'] as const
const FLAGS = ['causal', 'backward', 'log', 'run'] as const

export function writeLayers(state: LayersState): URLSearchParams {
  const params = new URLSearchParams()
  if (state.sentence !== INITIAL.sentence) params.set('sentence', state.sentence)
  for (const name of NUMBERS) if (state[name] !== INITIAL[name]) params.set(name, String(state[name]))
  for (const name of FLAGS) if (state[name] !== INITIAL[name]) params.set(name, state[name] ? '1' : '0')
  if (state.position !== INITIAL.position) params.set('position', state.position)
  if (state.norm !== INITIAL.norm) params.set('norm', state.norm)
  if (state.selected !== undefined) params.set('map', `${state.selected.layer},${state.selected.head}`)
  return params
}

export function readLayers(params: URLSearchParams): LayersState {
  const state: LayersState = { ...INITIAL }
  state.sentence = (params.get('sentence') ?? state.sentence).slice(0, 20_000)
  const limits = { ...LIMITS, tokens: [0, LIMITS.tokens[1]], row: [0, LIMITS.tokens[1] - 1] } as const
  for (const name of NUMBERS) state[name] = whole(params.get(name), limits[name]) ?? state[name]
  for (const name of FLAGS) {
    const flag = params.get(name)
    if (flag === '0' || flag === '1') state[name] = flag === '1'
  }
  state.position = POSITIONS.find(name => name === params.get('position')) ?? state.position
  state.norm = NORMS.find(name => name === params.get('norm')) ?? state.norm
  const [layer, head] = (params.get('map') ?? '').split(',').map(text => whole(text, [0, 255]))
  if (layer !== undefined && head !== undefined && layer < state.layers && head < state.heads) {
    state.selected = { layer, head }
  }
  return state
}

function whole(text: string | null | undefined, [low, high]: readonly [number, number]): number | undefined {
  if (text === null || text === undefined || !/^\d{1,10}$/.test(text)) return undefined
  const value = Number(text)
  return value >= low && value <= high ? value : undefined
}
