/** What is compared, and what a library must be able to do to take part. */
export interface Case {
  kind: 'attention' | 'multi-head' | 'encoder'
  /** tokens */
  n: number
  causal: boolean
  /** the gradients of everything, too */
  backward: boolean
  /** of an encoder's layers */
  norm?: 'pre' | 'post'
}

/** [1, HEADS, n, DIM]; layers have D_MODEL = HEADS·DIM. */
export const HEADS = 8
export const DIM = 64
export const D_MODEL = 512
export const D_FF = 2048
export const LAYERS = 6

export interface Prepared {
  /** Runs once; milliseconds. */
  run(): Promise<number>
  close(): Promise<void>
}

export interface Contender {
  name: string
  /** undefined where it cannot, or would take too long */
  prepare(of: Case): Promise<Prepared | undefined>
  close(): Promise<void>
}

export async function timed(run: () => Promise<unknown>): Promise<number> {
  const begin = performance.now()
  await run()
  return performance.now() - begin
}

/** The same numbers each time, spread evenly over [−1, 1]: what has a pattern makes weights that underflow. */
export function noise(length: number): Float32Array {
  let state = 1
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 31 - 1
  })
}
