/** How many processors this process may use at a time. */
import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'

/**
 * Node knows of the processes' affinity and of the quota of a container under cgroup v2. Under version 1 it stands in two files of
 * `folder`: microseconds of processor time in a period, and the length of that; no quota is −1.
 */
export function processors(folder = '/sys/fs/cgroup/cpu'): number {
  const allowed = availableParallelism()
  try {
    const [quota, period] = ['quota', 'period'].map(name =>
      Number(readFileSync(`${folder}/cpu.cfs_${name}_us`, 'utf8')),
    )
    return quota > 0 && period > 0 ? Math.max(1, Math.min(allowed, Math.floor(quota / period))) : allowed
  } catch {
    // no such files: another system, or version 2
    return allowed
  }
}
