/** How much a soak test does: little in `npm test`, with the same inputs every time; much, with others, in `npm run soak`. */
export const SCALE = Number(process.env.SOAK_SCALE ?? 1)

/** SOAK_SEED repeats a run; a failure says its seed. */
export const SEED = Number(process.env.SOAK_SEED ?? (SCALE > 1 ? Date.now() % 2 ** 31 : 1))

/** `npm run soak`: times are held to their bounds then, and only then. */
export const LONG = SCALE > 1

/** One of two numbers. */
export function scaled(short: number, long: number): number {
  return LONG ? long : short
}

/** Seconds of a part: SOAK_SECONDS shortens a long one. */
export function lasting(short: number, long: number): number {
  return LONG ? Number(process.env.SOAK_SECONDS ?? long) : short
}
