/** What both precisions do in the same way. */
export { mergeParts } from './merge.ts'
export { earlierPasses, passesMask, sortPasses } from './sort.ts'
