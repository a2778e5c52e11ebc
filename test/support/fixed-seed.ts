/** Draws the same inputs every time: a mutant's fate is not to hang on them. For `npm run mutate` alone. */
import * as fc from 'fast-check'

fc.configureGlobal({ seed: 1 })
