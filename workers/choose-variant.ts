/** A thread that ends when it has chosen the kernels' variant, so that the main thread loads and compiles no kernel. */
import './older-node.ts'
import { parentPort, workerData } from 'node:worker_threads'
import { chooseVariant } from './wasm/variant-choice.ts'
import type { SimdVariant } from './wasm/variants.ts'

export type { VariantChoice } from './wasm/variant-choice.ts'

export interface ChooseData {
  /** of which nothing is in use yet */
  memory: WebAssembly.Memory
  forced?: SimdVariant
}

const { memory, forced } = workerData as ChooseData
parentPort?.postMessage(chooseVariant(memory, { forced }))
