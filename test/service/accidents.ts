/** Values of `scale` that make the faulty worker throw, die, sleep before it works, or never come back. */
export const THROWS = 666
export const DIES = 667
export const SLEEPS = 668
export const HANGS = 669
export const SLEEP_MS = 300
