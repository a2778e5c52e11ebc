/** The masks by position. A new one is a file beside these and a line here. */
export { causal } from './causal.ts'
export { lengths } from './lengths.ts'
export { window } from './window.ts'
