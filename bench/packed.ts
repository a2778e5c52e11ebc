/** Packed sequences beside the same in a batch: whole programs of `POST /v1/attention` on one thread, milliseconds. */
import { bestMilliseconds, compileShapes, runner } from './approximations.ts'
import { table } from './report.ts'

const SIZES = [
  [64, 128, 4, 64],
  [64, 128, 1, 64],
]

export function benchPacked(): void {
  const rows = SIZES.flatMap(([sequences, length, heads, dim]) =>
    [false, true].map(backward => {
      const time = (shape: number[], more: object) => {
        const tensor = { shape }
        const body = { q: tensor, k: tensor, v: tensor, return: ['output'], ...more }
        const request = backward ? { ...body, backward: { grad_output: tensor } } : body
        return bestMilliseconds(runner(compileShapes(request)))
      }
      const starts = { cu_seqlens_q: { shape: [sequences + 1] } }
      const packed = time([sequences * length, heads, dim], starts)
      const batch = time([sequences, heads, length, dim], {})
      const positionsFirst = time([sequences, length, heads, dim], { layout: 'bnhd' })
      const name = `${sequences} of ${length}, ${heads} heads of ${dim}${backward ? ', backward' : ''}`
      return [name, ...[batch, positionsFirst, packed].map(ms => ms.toFixed(2)), (packed / batch).toFixed(3)]
    }),
  )
  console.log(table(['sequences', '[B,H,N,d]', '[B,N,H,d]', 'packed', 'packed : [B,H,N,d]'], rows))
}
