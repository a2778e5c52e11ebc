/** Threads that compute or load stand behind the one that talks to clients. */
import { setPriority } from 'node:os'

/** Of 19. */
const NICE = 5

/** That thread comes first on a core that they share. Elsewhere than on Linux this would be the process's priority. */
export function giveWay(): void {
  if (process.platform !== 'linux') return
  try {
    setPriority(NICE)
  } catch {
    // a sandbox may forbid it; the work is done all the same
  }
}
