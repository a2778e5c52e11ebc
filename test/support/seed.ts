/**
 * Random tests draw the same cases every time, so that a change is judged by what it changed and not by luck. TEST_SEED=n
 * draws others, TEST_SEED=random others each time, as the nightly run does; a failure says its seed.
 */
import * as fc from 'fast-check'

const { TEST_SEED = '1' } = process.env
fc.configureGlobal(TEST_SEED === 'random' ? {} : { seed: Number(TEST_SEED) })
