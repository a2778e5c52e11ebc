/** What the kernels of linear attention are asked to do. Part of the contract between the threads, like task.ts: data only. */
import type { AttentionArgs } from './task.ts'

/** Positions of one unit: keys of one state, query rows of one part of the output. */
export const LINEAR_CHUNK = 96

/** Shapes as in attention. Of the masks only those whose intervals begin at key 0; they are the same for all heads. */
export type LinearAttentionArgs = Pick<
  AttentionArgs,
  'batch' | 'heads' | 'kvHeads' | 'queries' | 'keys' | 'dimK' | 'dimV' | 'intervalStrides' | 'careful'
> & {
  /** rows attend to different numbers of keys: states are summed up to every chunk, not over all of them */
  causal: boolean
}

/** States are sums over chunks of keys (forward) or of queries (backward). */
export interface LinearStateArgs extends LinearAttentionArgs {
  side: 'keys' | 'queries'
}

/** Chunks of so many positions. */
export function linearChunks(positions: number): number {
  return Math.ceil(positions / LINEAR_CHUNK)
}

/** Elements of one state: S [dimK, dimV], then z [dimK]. */
export function stateLength({ dimK, dimV }: Pick<LinearAttentionArgs, 'dimK' | 'dimV'>): number {
  return dimK * (dimV + 1)
}

/** Sums kept of the states of one kv head: causal, one before every chunk and one after the last; else their total. */
export function stateSums(a: Pick<LinearAttentionArgs, 'causal'>, positions: number): number {
  return a.causal ? linearChunks(positions) + 1 : 1
}
