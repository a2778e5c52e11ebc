import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import { Turns } from './semaphore.ts'

it('lets so many through at once, in the order of their coming, whatever becomes of them', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.scheduler(),
      fc.integer({ min: 1, max: 3 }),
      fc.array(fc.boolean(), { maxLength: 12 }),
      async (scheduler, atOnce, fails) => {
        const turns = new Turns(atOnce)
        const begun: number[] = []
        let running = 0
        let most = 0
        const ends = fails.map((fails, index) =>
          turns
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
        expect(most).toBe(Math.min(atOnce, fails.length))
      },
    ),
  )
})
