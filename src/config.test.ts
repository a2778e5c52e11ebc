/** What a container may use is what the defaults follow. */
import { afterEach, expect, it, vi } from 'vitest'

const MIB = 1 << 20

async function defaults(threads: number, machine: number, container: number) {
  vi.resetModules()
  vi.doMock('node:os', () => ({ availableParallelism: () => threads, totalmem: () => machine }))
  vi.spyOn(process, 'constrainedMemory').mockReturnValue(container)
  const { readConfig } = await import('./config.ts')
  return readConfig({})
}

afterEach(() => {
  vi.doUnmock('node:os')
  vi.restoreAllMocks()
})

it.each([
  ['the quota and the limit of a container', 3, 65536, 2048, 2048],
  ['the machine where there is no limit', 8, 4096, 0, 4096],
  ['the machine where the limit says nothing', 8, 4096, 2 ** 43, 4096],
])('follow %s', async (_, threads, machine, container, memory) => {
  const config = await defaults(threads, machine * MIB, container * MIB)
  expect(config.THREADS).toBe(threads)
  expect(config.MEMORY_BYTES).toBe((memory / 2) * MIB)
  expect(config.MAX_REQUEST_BYTES).toBe(Math.floor((memory * MIB) / 3))
  expect(config.MODEL_MEMORY_BYTES).toBe((memory / 4) * MIB)
})
