/** One request of the digests. */
import { type Body, type Draw, drawer, type Form } from './tensors.ts'

export interface Case {
  name: string
  path: string
  body: () => Body
  /** how the request writes its tensors; flat JSON where nothing is said */
  form?: Form
  /** answer with a safetensors file */
  binary?: boolean
}

export const PRECISIONS = ['float32', 'float64'] as const

export const ATTENTION = '/v1/attention'
export const SELF = '/v1/self-attention'
export const MULTI_HEAD = '/v1/multi-head-attention'
export const POSITIONS = '/v1/positional-encoding'
export const STACK = '/v1/transformer'

/** The request in both precisions. float32 answers as nested text, float64 as base64, unless the body says otherwise. */
export function inBoth(path: string, name: string, build: (draw: Draw) => Body): Case[] {
  return PRECISIONS.map(precision => ({
    name: `${name}, ${precision}`,
    path,
    body: () => ({
      precision,
      encoding: precision === 'float64' ? 'base64' : 'nested',
      ...build(drawer(`${path} ${name}`)),
    }),
  }))
}
