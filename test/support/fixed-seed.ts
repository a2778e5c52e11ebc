/**
 * For `npm run mutate` alone. Draws the same inputs every time, for a moment at most: a mutant's fate is not to hang on
 * them, and one that survives costs every test that reaches it. The first failure is enough to kill a mutant.
 */
import * as fc from 'fast-check'
import { beforeEach } from 'vitest'
import { SIMD_VARIANTS } from '../../workers/wasm/variants.ts'

fc.configureGlobal({ seed: 1, interruptAfterTimeLimit: 400, endOnFailure: true })

/** Tests of WebAssembly and of float32: they run the mutated code at most to judge something else by it. */
const others = new RegExp(`^(${Object.keys(SIMD_VARIANTS).join('|')})( |$)|\\bfloat32\\b`)

// a pattern of names in the configuration would be overwritten by Stryker's own
beforeEach(({ task, skip }) => {
  const names = [task.name]
  for (let suite = task.suite; suite !== undefined; suite = suite.suite) names.push(suite.name)
  if (/^workers\/ops\//.test(task.file.name)) skip(names.some(name => others.test(name)))
})
