/** Has a thread of its own check and time the kernel variants on this machine. */
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import type { ChooseData, VariantChoice } from '../../workers/choose-variant.ts'
import type { Config } from '../config.ts'
import { THREAD_OPTIONS } from './thread-options.ts'

/** Rejects when the forced variant, or every one, fails. Nothing of `memory` may be in use yet. */
export async function chooseKernels(
  memory: WebAssembly.Memory,
  wanted: Config['KERNELS'],
): Promise<VariantChoice> {
  const workerData: ChooseData = { memory, forced: wanted === 'auto' ? undefined : wanted }
  const file = new URL('../../workers/choose-variant.ts', import.meta.url)
  const worker = new Worker(file, { workerData, ...THREAD_OPTIONS })
  const [choice] = await once(worker, 'message')
  return choice
}
