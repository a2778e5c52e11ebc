/** The tests that mutants are held against (`npm run mutate`): the unit tests, without those that judge float32 kernels, which no mutant reaches. */
import { statSync } from 'node:fs'
import { mergeConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'
import base from './vitest.config.ts'

const { projects: _, ...shared } = base.test ?? {}

/** Small files first: they hold the tests of definition, which kill most mutants at once. */
class SmallFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const size = ({ moduleId }: TestSpecification) => statSync(moduleId).size
    return files.toSorted((a, b) => size(a) - size(b))
  }
}

export default mergeConfig(
  { test: shared },
  {
    test: {
      include: ['src/**/*.test.ts', 'workers/**/*.test.ts'],
      setupFiles: ['test/support/fixed-seed.ts'],
      exclude: ['**/{accuracy,fixed-softmax,float32}.test.ts', 'workers/wasm/**', '**/node_modules/**'],
      sequence: { sequencer: SmallFirst },
    },
  },
)
