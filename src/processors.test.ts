/** A container's quota under cgroup v1, as its files tell it. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it, vi } from 'vitest'
import { processors } from './processors.ts'

vi.mock('node:os', async original => ({
  ...(await original<typeof import('node:os')>()),
  availableParallelism: () => 8,
}))

const folder = mkdtempSync(join(tmpdir(), 'cgroup-'))
afterAll(() => rmSync(folder, { recursive: true }))

it.each([
  ['two and a half processors', '250000', '100000', 2],
  ['half of one', '50000', '100000', 1],
  ['more than there are', '1600000', '100000', 8],
  ['no quota', '-1', '100000', 8],
  ['files that say nothing', 'x', '0', 8],
])('%s', (_name, quota, period, expected) => {
  expect(availableParallelism()).toBe(8)
  writeFileSync(join(folder, 'cpu.cfs_quota_us'), `${quota}\n`)
  writeFileSync(join(folder, 'cpu.cfs_period_us'), `${period}\n`)
  expect(processors(folder)).toBe(expected)
})

it('no such files', () => {
  expect(processors(join(folder, 'none'))).toBe(8)
})
