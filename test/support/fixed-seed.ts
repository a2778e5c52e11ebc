/**
 * Draws the same inputs every time, for a moment at most: a mutant's fate is not to hang on them, and one that survives
 * costs every test that reaches it. For `npm run mutate` alone.
 */
import * as fc from 'fast-check'

fc.configureGlobal({ seed: 1, interruptAfterTimeLimit: 700 })
