/** Painting is spread over the frames of the screen, by a clock and a screen of the test's own. */
import { beforeEach, describe, expect, it, vi } from 'vitest'
import { PaintQueue } from '../../web/src/layers/paint-queue.ts'

let now = 0
let next: (() => void) | undefined

beforeEach(() => {
  now = 0
  next = undefined
  vi.spyOn(performance, 'now').mockImplementation(() => now)
  vi.stubGlobal('requestAnimationFrame', (callback: () => void) => {
    next = callback
    return 1
  })
  vi.stubGlobal('cancelAnimationFrame', () => {
    next = undefined
  })
})

/** One frame of the screen; tells whether another has been asked for. */
function frame(): boolean {
  const callback = next
  next = undefined
  callback?.()
  return next !== undefined
}

describe('the paint queue', () => {
  const painted: number[] = []
  const work = (number: number, ms: number) => () => {
    painted.push(number)
    now += ms
  }
  beforeEach(() => {
    painted.length = 0
  })

  it('paints nothing before the screen asks, and then what fits into five milliseconds', async () => {
    const queue = new PaintQueue()
    const done = [1, 2, 3, 4].map(number => queue.add(work(number, 2)))
    expect(painted).toEqual([])
    expect(frame()).toBe(true)
    expect(painted).toEqual([1, 2, 3])
    await Promise.all(done.slice(0, 3))
    expect(frame()).toBe(false)
    expect(painted).toEqual([1, 2, 3, 4])
    await done[3]
  })

  it('paints at least one thing a frame, however long it takes', () => {
    const queue = new PaintQueue()
    for (const number of [1, 2]) void queue.add(work(number, 50))
    expect(frame()).toBe(true)
    expect(painted).toEqual([1])
    expect(frame()).toBe(false)
    expect(painted).toEqual([1, 2])
  })

  it('asks the screen again for what comes later, also out of a painting', () => {
    const queue = new PaintQueue()
    void queue.add(() => void queue.add(work(2, 1)))
    now = 0
    frame()
    expect(painted).toEqual([2])
    void queue.add(work(3, 1))
    expect(next).toBeDefined()
    expect(frame()).toBe(false)
    expect(painted).toEqual([2, 3])
  })

  it('is not stopped by what cannot be painted', async () => {
    const reported = vi.fn()
    vi.stubGlobal('reportError', reported)
    const queue = new PaintQueue()
    const done = queue.add(() => {
      throw new Error('no memory for a canvas')
    })
    void queue.add(work(2, 1))
    expect(frame()).toBe(false)
    await done
    expect(painted).toEqual([2])
    expect(reported).toHaveBeenCalledOnce()
    void queue.add(work(3, 1))
    frame()
    expect(painted).toEqual([2, 3])
  })

  it('forgets what it is told to, and leaves nobody waiting for it', async () => {
    const queue = new PaintQueue()
    const done = queue.add(work(1, 1))
    queue.clear()
    await done
    expect(next).toBeUndefined()
    void queue.add(work(2, 1))
    frame()
    expect(painted).toEqual([2])
  })
})
