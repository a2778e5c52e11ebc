/** How many inputs a fuzz test draws, and from which seed. `npm test` draws the same few every time; `npm run test:fuzz` many others. */
const SHORT = 400

const all = Number(process.env.FUZZ_RUNS ?? SHORT)

/** Whether this is more than the short run of `npm test`. */
export const LONG = all > SHORT

/** FUZZ_SEED repeats a run; a failure says its seed. */
export const SEED = Number(process.env.FUZZ_SEED ?? (LONG ? Date.now() % 2 ** 31 : 1))

/** What `fc.assert` is given by a test that draws this share of the inputs. */
export function runs(share: number): { numRuns: number; seed: number } {
  return { numRuns: Math.max(1, Math.round(all * share)), seed: SEED }
}
