/** Who waits for a tokenizer waits no longer than its request may take. */
import { expect, it } from 'vitest'
import type { LoadedModel } from '../../models/loaded.ts'
import type { Room } from '../endpoint.ts'
import { modelForward } from './endpoint.ts'
import { ForwardRequestSchema } from './forward.ts'
import { unlessStopped } from './unless-stopped.ts'

const never = new Promise<never>(() => {})
const encoder = { encode: () => never, nameOf: String, idOf: () => undefined }
const body = {} as Room

it.each([
  ['that does not come', () => never],
  ['that is busy', async () => encoder],
])('a tokenizer %s', async (_, tokenizer) => {
  const model = { tokenizer, plan: { checkpoint: { tokenizer: true } } } as unknown as LoadedModel
  const stop = new AbortController()
  const request = ForwardRequestSchema.parse({ text: 'a' })
  const preparing = modelForward(model).prepare?.(request, body, stop.signal)
  setTimeout(() => stop.abort(new Error('late')), 5)
  await expect(preparing).rejects.toThrow('late')
})

it('what is there in time is given, and its own fault too', async () => {
  const { signal } = new AbortController()
  expect(await unlessStopped(Promise.resolve(7), signal)).toBe(7)
  await expect(unlessStopped(Promise.reject(new Error('own')), signal)).rejects.toThrow('own')
  await expect(unlessStopped(never, AbortSignal.abort(new Error('before')))).rejects.toThrow('before')
})
