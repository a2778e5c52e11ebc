/** How much a soak test does: little in `npm test`, with the same inputs every time; much, with others, in `npm run soak`. */
export const SCALE = Number(process.env.SOAK_SCALE ?? 1)

/** SOAK_SEED repeats a run; a failure says its seed. */
export const SEED = Number(process.env.SOAK_SEED ?? (SCALE > 1 ? Date.now() % 2 ** 31 : 1))
