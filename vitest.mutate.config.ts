/** The tests that mutants are held against (`npm run mutate`): the unit tests, without those that judge float32 kernels, which no mutant reaches. */
import { mergeConfig } from 'vitest/config'
import base from './vitest.config.ts'

const { projects: _, ...shared } = base.test ?? {}

export default mergeConfig(
  { test: shared },
  {
    test: {
      include: ['src/**/*.test.ts', 'workers/**/*.test.ts'],
      setupFiles: ['test/support/fixed-seed.ts'],
      exclude: [
        '**/{accuracy,fixed-softmax,float32,contract}.test.ts',
        'workers/wasm/**',
        '**/node_modules/**',
      ],
      testNamePattern: '^(?!.*(as exact in float32|float32 kernels stay)).*$',
    },
  },
)
