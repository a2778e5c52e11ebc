/** Jobs that take a while, for servers to be lost under them. */
import { setTimeout as wait } from 'node:timers/promises'
import { drawer } from '../../support/layer-cases.ts'
import type { Replica, Reply } from './replicas.ts'

const draw = drawer(3)

/** About half a second of work with 500 rows; it grows with their square. */
export function longBody(rows = 500) {
  const x = { shape: [1, 2, rows, 32], dtype: 'float32', base64: noise(2 * rows * 32) }
  return { q: x, k: x, v: x, precision: 'float64', encoding: 'base64', backward: { grad_output: x } }
}

function noise(count: number): string {
  const { data } = draw(count) as { data: number[] }
  return Buffer.from(Float32Array.from(data).buffer).toString('base64')
}

/** Asked for until it has. */
export async function ended(replica: Replica, id: string): Promise<Reply['body']> {
  for (;;) {
    const { status, body } = await replica.ask(`/v1/jobs/${id}`)
    if (status === 200 && !['queued', 'running'].includes(body.state)) return body
    await wait(20)
  }
}
