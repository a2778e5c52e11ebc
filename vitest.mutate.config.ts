/** The tests that mutants are held against (`npm run mutate`): the unit tests, without those that judge float32 kernels, which no mutant reaches. */
import { readFileSync } from 'node:fs'
import { mergeConfig } from 'vitest/config'
import { BaseSequencer, type TestSpecification } from 'vitest/node'
import base from './vitest.config.ts'

const { projects: _, ...shared } = base.test ?? {}

/** Fixed cases before random ones: they kill most mutants at once, on a busy machine too. */
class FixedFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const random = ({ moduleId }: TestSpecification) =>
      readFileSync(moduleId, 'utf8').includes("'fast-check'")
    return files.toSorted((a, b) => Number(random(a)) - Number(random(b)))
  }
}

export default mergeConfig(
  { test: shared },
  {
    test: {
      include: ['src/**/*.test.ts', 'workers/**/*.test.ts'],
      setupFiles: ['test/support/fixed-seed.ts'],
      exclude: ['**/{accuracy,fixed-softmax,float32}.test.ts', 'workers/wasm/**', '**/node_modules/**'],
      sequence: { sequencer: FixedFirst },
    },
  },
)
