/** JSON text in shared memory → what a scan locates in it: here where that is quick, else by workers. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { JsonScan } from '../../workers/text/json-spans.ts'
import type { Engine } from '../engine/engine.ts'
import { quoteBareNumbers } from '../formats/bare-numbers.ts'
import { jsonTree } from '../formats/body.ts'

/** JSON text up to this size is scanned on the main thread where it has few values: less than what a crossing to a worker takes. */
export const SCAN_HERE = 64 * 1024

/** By workers. What has come from them took its time; what is made of it comes in another turn. */
export async function scanned(engine: Engine, text: Uint8Array): Promise<JsonScan> {
  return await nextTurn(await engine.scan(text))
}

/** Here where that is quick. */
export async function scanOf(engine: Engine, text: Uint8Array): Promise<JsonScan> {
  return (text.length <= SCAN_HERE ? engine.scanHere(text) : undefined) ?? (await scanned(engine, text))
}

/** Of text that has been refused for a bare number. `room` gives shared memory that goes with the text. */
export async function quotedTree(
  engine: Engine,
  text: Uint8Array,
  room: (bytes: number) => Promise<Uint8Array>,
): Promise<unknown> {
  const quoted = await quoteBareNumbers(text, room)
  return jsonTree(quoted, await scanOf(engine, quoted))
}
