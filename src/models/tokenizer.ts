/** A model's tokenizer as the main thread sees it: texts go to its thread, names of tokens are known here. */
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { THREAD_OPTIONS } from '../engine/thread-options.ts'
import { unsupported } from './config.ts'
import type { ModelPlan } from './plan.ts'
import type {
  EncodedText,
  EncodeMessage,
  FromTokenizer,
  TokenizerWork,
  Vocabulary,
} from './tokenizer-thread.ts'

export class ModelTokenizer {
  readonly #thread: Worker
  readonly #vocabulary: Vocabulary
  readonly #waiting: PromiseWithResolvers<EncodedText[]>[] = []
  /** messages go one at a time: what is cut where belongs to a message */
  #last: Promise<unknown> = Promise.resolve()

  private constructor(thread: Worker, vocabulary: Vocabulary) {
    this.#thread = thread
    this.#vocabulary = vocabulary
    const fail = (error: Error) => {
      for (const { reject } of this.#waiting.splice(0)) reject(error)
    }
    thread.on('message', (message: FromTokenizer) => {
      if ('encoded' in message) this.#waiting.shift()?.resolve(message.encoded)
      else if ('fault' in message)
        this.#waiting.shift()?.reject(unsupported(`the tokenizer: ${message.fault}`))
    })
    thread.on('error', fail)
    thread.on('exit', () => fail(new Error('the tokenizer has ended')))
  }

  /** Rejects with what is wrong with it: it may not load on this machine. */
  static async start({ checkpoint, spec }: ModelPlan): Promise<ModelTokenizer> {
    const workerData: TokenizerWork = {
      file: join(checkpoint.folder, 'tokenizer.json'),
      vocabulary: spec.sizes.vocabulary,
    }
    const thread = new Worker(new URL('./tokenizer-thread.ts', import.meta.url), {
      workerData,
      ...THREAD_OPTIONS,
    })
    thread.unref()
    const started = Promise.withResolvers<Vocabulary>()
    thread.once('message', (message: FromTokenizer) => {
      if ('vocabulary' in message) started.resolve(message.vocabulary)
      else if ('fault' in message) started.reject(unsupported(`the tokenizer: ${message.fault}`))
    })
    const ended = (error: unknown) => started.reject(unsupported(`the tokenizer: ${error}`))
    thread.once('error', ended)
    thread.once('exit', ended)
    const vocabulary = await started.promise.catch(error => {
      void thread.terminate()
      throw error
    })
    return new ModelTokenizer(thread, vocabulary)
  }

  encode(message: EncodeMessage): Promise<EncodedText[]> {
    const next = this.#last.then(() => {
      const reply = Promise.withResolvers<EncodedText[]>()
      this.#waiting.push(reply)
      this.#thread.postMessage(message)
      return reply.promise
    })
    this.#last = next.catch(() => {})
    return next
  }

  nameOf(id: number): string {
    const { text, ends } = this.#vocabulary
    return Buffer.from(
      text.buffer,
      id === 0 ? 0 : ends[id - 1],
      ends[id] - (id === 0 ? 0 : ends[id - 1]),
    ).toString()
  }

  idOf(token: string): number | undefined {
    const { text, ends } = this.#vocabulary
    const wanted = Buffer.from(token)
    if (wanted.length === 0) return undefined
    const all = Buffer.from(text.buffer)
    for (let at = all.indexOf(wanted); at >= 0; at = all.indexOf(wanted, at + 1)) {
      const id = firstFrom(ends, at + wanted.length)
      if (ends[id] === at + wanted.length && (id === 0 ? 0 : ends[id - 1]) === at) return id
    }
    return undefined
  }

  close(): void {
    void this.#thread.terminate()
  }
}

/** The first index whose element is at least `least`, of elements that never fall. */
function firstFrom(elements: Uint32Array, least: number): number {
  let [low, high] = [0, elements.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if (elements[middle] < least) low = middle + 1
    else high = middle
  }
  return low
}
