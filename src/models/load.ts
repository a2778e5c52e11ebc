/** Loads the weights of a model, by a thread that ends when they lie in the memory. */
import { Worker } from 'node:worker_threads'
import { THREAD_OPTIONS } from '../engine/thread-options.ts'
import type { WeightType } from './checkpoint.ts'
import { invalid } from './config.ts'
import type { LoadMessage, LoadTensor, LoadWork } from './load-thread.ts'
import type { ModelPlan } from './plan.ts'

/** `offset`: of the model's memory. Rejects with what is wrong with a file. */
export function loadWeights(
  { weights }: ModelPlan,
  memory: WebAssembly.Memory,
  offset: number,
  progress: (bytes: number) => void,
): Promise<void> {
  const tensors = new Map<string, LoadTensor>()
  for (const weight of weights.values()) {
    const { stored_as: name, source, axis, from, to, transposed } = weight
    const [rows, columns = 1] = source.shape
    const { file, start } = source
    const tensor = tensors.get(name) ?? {
      name,
      file,
      start,
      dtype: source.dtype as WeightType,
      rows,
      columns,
      parts: [],
    }
    tensor.parts.push({ offset: offset + weight.offset, axis, from, to, transposed })
    tensors.set(name, tensor)
  }
  const work: LoadWork = { memory, tensors: [...tensors.values()] }
  const thread = new Worker(new URL('./load-thread.ts', import.meta.url), {
    workerData: work,
    ...THREAD_OPTIONS,
  })
  const loaded = Promise.withResolvers<void>()
  thread.on('message', (message: LoadMessage) => {
    if ('fault' in message) loaded.reject(invalid(message.fault))
    else progress(message.done)
  })
  thread.on('error', loaded.reject)
  thread.on('exit', () => loaded.resolve())
  return loaded.promise
}
