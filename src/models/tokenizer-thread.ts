/** A model's tokenizer on a thread of its own: to read a large vocabulary, or to cut a long text, takes longer than clients should wait. */
import { parentPort, workerData } from 'node:worker_threads'

export interface TokenizerWork {
  file: string
  /** room for the vocabulary's ids */
  vocabulary: number
}

/** Texts to be cut into tokens, each with its pair where it has one. */
export interface EncodeMessage {
  texts: [text: string, pair?: string][]
  addSpecialTokens: boolean
  /** cut there */
  most: number | undefined
}

export interface EncodedText {
  ids: number[]
  types: number[]
  special: number[]
  offsets: [number, number][]
}

/** The tokens of the vocabulary, one behind the other in UTF-8; id's is [ends[id − 1], ends[id]). */
export interface Vocabulary {
  text: Uint8Array<ArrayBuffer>
  ends: Uint32Array<ArrayBuffer>
}

export type FromTokenizer =
  | { vocabulary: Vocabulary }
  | { encoded: EncodedText[] }
  /** `loading`: there is no tokenizer, and will be none */
  | { fault: string; loading: boolean }

const port = parentPort as NonNullable<typeof parentPort>
const { file, vocabulary: size } = workerData as TokenizerWork

function say(message: FromTokenizer, transfer: ArrayBuffer[] = []): void {
  port.postMessage(message, transfer)
}

async function start() {
  const { Tokenizer } = await import('tokenizers').catch((error: unknown) => {
    throw new Error(`the tokenizers library cannot be loaded here: ${(error as Error).message}`)
  })
  const tokenizer = Tokenizer.fromFile(file)
  // files may bring a length of their own
  tokenizer.disablePadding()
  tokenizer.disableTruncation()
  const parts: Buffer[] = []
  const ends = new Uint32Array(size)
  let end = 0
  let known = 0
  for (let id = 0; id < size; id++) {
    const token = tokenizer.idToToken(id)
    if (token !== null) known++
    const bytes = Buffer.from(token ?? '')
    parts.push(bytes)
    end += bytes.length
    ends[id] = end
  }
  if (known === 0) throw new Error('the tokenizer has no vocabulary')
  const text = new Uint8Array(end)
  text.set(Buffer.concat(parts))
  say({ vocabulary: { text, ends } }, [text.buffer, ends.buffer])
  return tokenizer
}

const tokenizer = await start().catch((error: unknown) => {
  say({ fault: (error as Error).message, loading: true })
  return undefined
})

port.on('message', async ({ texts, addSpecialTokens, most }: EncodeMessage) => {
  if (tokenizer === undefined) return
  try {
    if (most === undefined) tokenizer.disableTruncation()
    else tokenizer.setTruncation(most)
    const encodings = await Promise.all(
      texts.map(([text, pair]) => tokenizer.encode(text, pair, { addSpecialTokens })),
    )
    const encoded = encodings.map(encoding => ({
      ids: encoding.getIds(),
      types: encoding.getTypeIds(),
      special: encoding.getSpecialTokensMask(),
      offsets: encoding.getOffsets() as [number, number][],
    }))
    say({ encoded })
  } catch (error) {
    say({ fault: (error as Error).message, loading: false })
  }
})
