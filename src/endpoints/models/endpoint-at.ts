/** The endpoint of a path: one that is always there, or that of a model. */
import type { LoadedModel } from '../../models/loaded.ts'
import type { ModelStore } from '../../models/store.ts'
import { Problem } from '../../problem.ts'
import type { Plannable } from '../endpoint.ts'
import { OF_MODEL } from '../plan.ts'
import { SERVED } from '../served.ts'
import { type ModelEndpoint, modelForward, type OfWhole } from './endpoint.ts'

/** Disposed of, the model may leave the memory. */
export interface Held extends Disposable {
  path: string
  endpoint: Plannable
  /** of a model's request that has been prepared */
  readonly whole: OfWhole | undefined
  /** The endpoint of a part of that batch. */
  ofPart(whole: OfWhole | undefined): Plannable
}

/** Loads the model where there is one. Throws a 404. */
export async function endpointAt(path: string, models: ModelStore): Promise<Held> {
  const [, name] = OF_MODEL.exec(path) ?? []
  if (name !== undefined) return heldModel(path, await models.use(decoded(name)), models)
  const endpoint = SERVED.find(each => each.path === path)
  if (endpoint === undefined) throw new Problem('NOT_FOUND', `no endpoint ${path}`)
  return { path, endpoint, whole: undefined, ofPart: () => endpoint, [Symbol.dispose]() {} }
}

function heldModel(path: string, model: LoadedModel, models: ModelStore): Held {
  const endpoint: ModelEndpoint = modelForward(model)
  return {
    path,
    endpoint: endpoint as Plannable,
    get whole() {
      return endpoint.whole()
    },
    ofPart: whole => modelForward(model, false, whole) as Plannable,
    [Symbol.dispose]: () => models.release(model),
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
