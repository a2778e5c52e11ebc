/** Values of `scale` that make the faulty worker throw, die, or sleep before it works. */
export const THROWS = 666
export const DIES = 667
export const SLEEPS = 668
export const SLEEP_MS = 300
