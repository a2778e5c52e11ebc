/** The models that the server runs on a text, asked for once: `GET /v1/models`. */
import { ask, onKey } from './access.ts'
import { PATIENCE_MS } from './patience.ts'
import { Store } from './store.ts'

export interface ModelEntry {
  name: string
  family: string
  layers: number
  heads: number
  d_model: number
  max_length: number | null
}

/** What comes with the service and is shown first. */
export const LESSON = 'lesson'

/** undefined: not known yet */
export const models = new Store<{ list: ModelEntry[] | undefined }>({ list: undefined })

let asked: Promise<ModelEntry[]> | undefined

/** Where the server wants a key, when the reader has given it. */
export function knownModels(): Promise<ModelEntry[]> {
  asked ??= new Promise(resolve => {
    const attempt = async () => {
      const list = await listed()
      if (list === undefined || models.value.list !== undefined) return
      models.set({ list })
      resolve(list)
    }
    onKey(() => void attempt())
    void attempt()
  })
  return asked
}

export function modelEntry(name: string): ModelEntry | undefined {
  return models.value.list?.find(each => each.name === name)
}

/** The name of the model that is there for those who have chosen none; '' where there is none, undefined while nobody knows. */
export function firstModel(): string | undefined {
  if (models.value.list === undefined) return undefined
  return modelEntry(LESSON) === undefined ? '' : LESSON
}

interface Listed extends ModelEntry {
  tokenizer: boolean
  problem?: object
}

/** A server that does not tell has none; undefined: it wants a key first. */
async function listed(): Promise<ModelEntry[] | undefined> {
  try {
    const response = await ask('v1/models', { signal: AbortSignal.timeout(PATIENCE_MS) })
    if (response.status === 401) return undefined
    const answer: { models?: Listed[] } = await response.json()
    const usable = (answer.models ?? []).filter(each => each.problem === undefined && each.tokenizer)
    return usable.sort((a, b) => Number(b.name === LESSON) - Number(a.name === LESSON))
  } catch {
    return []
  }
}
