import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import { Semaphore } from './semaphore.ts'

it('lets as many through at once as it has permits, in the order in which they came, whether they fail or not', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.scheduler(),
      fc.integer({ min: 1, max: 3 }),
      fc.array(fc.boolean(), { maxLength: 12 }),
      async (scheduler, permits, fails) => {
        const semaphore = new Semaphore(permits)
        const begun: number[] = []
        let running = 0
        let most = 0
        const ends = fails.map((fails, index) =>
          semaphore
            .take(async () => {
              begun.push(index)
              most = Math.max(most, ++running)
              await scheduler.schedule(Promise.resolve())
              running--
              if (fails) throw new Error(String(index))
              return index
            })
            .catch((error: Error) => -Number(error.message)),
        )
        await scheduler.waitAll()
        await scheduler.waitIdle?.()
        expect(await Promise.all(ends)).toEqual(fails.map((fails, index) => (fails ? -index : index)))
        expect(begun).toEqual(fails.map((_, index) => index))
        expect(most).toBe(Math.min(permits, fails.length))
      },
    ),
  )
})
