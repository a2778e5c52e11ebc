/** The tests that mutants are held against (`npm run mutate`): the unit tests, without those of the SIMD kernels, which no mutant reaches. */
import { mergeConfig } from 'vitest/config'
import base from './vitest.config.ts'

const { projects: _, ...shared } = base.test ?? {}

export default mergeConfig(
  { test: shared },
  {
    test: {
      include: ['src/**/*.test.ts', 'workers/**/*.test.ts'],
      setupFiles: ['test/support/fixed-seed.ts'],
      exclude: ['**/simd/**', '**/float32.test.ts', '**/node_modules/**'],
    },
  },
)
