/** Watches what a page paints of the layers, in which frame of the screen, and when it acknowledges them. */
import type { Page } from 'playwright-core'

export interface Painting {
  pixels: number
  /** the number of the animation frame; 0 where it was painted outside of any */
  frame: number
}

interface Watched {
  painted: Painting[]
  /** how many pictures had been painted when each acknowledgement was sent */
  acknowledged: number[]
}

declare global {
  interface Window {
    watched: Watched
  }
}

/** Runs in the page before its script. */
export function watchPainting(): void {
  const watched: Watched = { painted: [], acknowledged: [] }
  window.watched = watched
  let frame = 0
  let last = 0
  let inside = false
  const { requestAnimationFrame } = window
  window.requestAnimationFrame = callback =>
    requestAnimationFrame.call(window, time => {
      // all callbacks of one frame are called with the same time
      if (time !== last) frame++
      last = time
      inside = true
      callback(time)
      inside = false
    })
  const { putImageData } = CanvasRenderingContext2D.prototype
  CanvasRenderingContext2D.prototype.putImageData = new Proxy(putImageData, {
    apply(paint, context: CanvasRenderingContext2D, args) {
      const [{ width, height }] = args
      if (context.canvas.matches('.cell canvas, .map-pixels')) {
        watched.painted.push({ pixels: width * height, frame: inside ? frame : 0 })
      }
      Reflect.apply(paint, context, args)
    },
  })
  const { send } = WebSocket.prototype
  WebSocket.prototype.send = function (data) {
    if (String(data).includes('"type":"credit"')) watched.acknowledged.push(watched.painted.length)
    send.call(this, data)
  }
}

export function watched(page: Page): Promise<Watched> {
  return page.evaluate(() => window.watched)
}
