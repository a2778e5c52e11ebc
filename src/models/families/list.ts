/** The families, a line each. */
export { bert, roberta } from './bert.ts'
export { distilbert } from './distilbert.ts'
export { gemma } from './gemma.ts'
export { gpt2 } from './gpt2.ts'
export { llama } from './llama.ts'
export { modernbert } from './modernbert.ts'
export { t5 } from './t5.ts'
