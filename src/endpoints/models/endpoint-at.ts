/** The endpoint of a path: one that is always there, or that of a model. */
import type { ModelStore } from '../../models/store.ts'
import { Problem } from '../../problem.ts'
import type { Plannable } from '../endpoint.ts'
import { OF_MODEL } from '../plan.ts'
import { SERVED } from '../served.ts'
import { type ModelEndpoint, modelForward, type OfWhole } from './endpoint.ts'
import { type HeldModel, holdModel } from './held.ts'

/** Disposed of, the model may leave the memory. */
export interface Held extends Disposable {
  path: string
  endpoint: Plannable
  /** of a model's request that has been prepared */
  readonly whole: OfWhole | undefined
  /** The endpoint of a part of that batch. */
  ofPart(whole: OfWhole | undefined): Plannable
}

/** Loads the model where there is one; rejects where the signal fires before it is there. Throws a 404. */
export async function endpointAt(path: string, models: ModelStore, signal: AbortSignal): Promise<Held> {
  const [, name] = OF_MODEL.exec(path) ?? []
  if (name !== undefined) return endpointOf(path, await holdModel(models, decoded(name), signal))
  const endpoint = SERVED.find(each => each.path === path)
  if (endpoint === undefined) throw new Problem('NOT_FOUND', `no endpoint ${path}`)
  return { path, endpoint, whole: undefined, ofPart: () => endpoint, [Symbol.dispose]() {} }
}

function endpointOf(path: string, held: HeldModel): Held {
  const { model } = held
  const endpoint: ModelEndpoint = modelForward(model)
  return {
    path,
    endpoint: endpoint as Plannable,
    get whole() {
      return endpoint.whole()
    },
    ofPart: whole => modelForward(model, false, whole) as Plannable,
    [Symbol.dispose]: () => held[Symbol.dispose](),
  }
}

/** A name that is no encoded text is none of a model either. */
function decoded(name: string): string {
  try {
    return decodeURIComponent(name)
  } catch {
    return name
  }
}
