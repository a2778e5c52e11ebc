/** Which gradients a request wants: what `wrt` names, or by default everything that has one; and gradients as outputs. */
import type { Ref } from '../../workers/contract.ts'
import { shortened } from '../../workers/text/json-pointer.ts'
import type { TensorSource } from '../formats/tensor.ts'
import { fieldProblem } from '../problem.ts'
import type { RequestProgram } from './program-builder.ts'

/**
 * What may be named: true = wanted by default, false = only when named, undefined = not there, a text = what it is that
 * has no gradient.
 * Names below another (`params.w_q` below `params`) are wanted when the other is.
 */
export type Differentiable = Record<string, boolean | string | undefined>

/** A float mask has a gradient, wanted by default; a bool mask has none. */
export function maskGradient(mask: TensorSource | undefined): Differentiable[string] {
  if (mask === undefined) return undefined
  return mask.dtype === 'bool' ? 'a bool mask, which has no gradient' : true
}

export class GradientSet {
  readonly #names: ReadonlySet<string>

  constructor(wrt: readonly string[] | undefined, known: Differentiable) {
    const there = Object.entries(known).filter(([, wanted]) => typeof wanted === 'boolean')
    // clients of some languages send a list of nothing where they mean none
    if (wrt === undefined || wrt.length === 0) {
      this.#names = new Set(there.flatMap(([name, wanted]) => (wanted ? [name] : [])))
      return
    }
    const below = prefixes(there.map(([name]) => name))
    const names = new Set<string>()
    const seen = new Set<string>()
    for (const [index, asked] of wrt.entries()) {
      if (seen.has(asked)) continue
      seen.add(asked)
      const found = below.get(asked)
      if (found === undefined) {
        const all = there.map(([name]) => name)
        const reason = Object.hasOwn(known, asked) ? known[asked] : undefined
        const what = reason ?? JSON.stringify(shortened(asked))
        const list = `${all.slice(0, 12).join(', ')}${all.length > 12 ? ', …' : ''}`
        throw fieldProblem(
          'INVALID_REQUEST',
          `/backward/wrt/${index}`,
          `expected an input of this request that has a gradient (${list}), got ${what}`,
        )
      }
      for (const name of found) names.add(name)
    }
    this.#names = names
  }

  has(name: string): boolean {
    return this.#names.has(name)
  }

  /** Is anything wanted whose name begins like this? */
  hasBelow(prefix: string): boolean {
    return [...this.#names].some(name => name.startsWith(prefix))
  }
}

/** Every name and everything above one (`params` above `params.w_q`) → the names there. */
function prefixes(names: string[]): Map<string, string[]> {
  const below = new Map<string, string[]>()
  for (const name of names) {
    for (let end = name.length; end > 0; end = name.lastIndexOf('.', end - 1)) {
      const prefix = name.slice(0, end)
      const there = below.get(prefix)
      if (there === undefined) below.set(prefix, [name])
      else there.push(name)
    }
  }
  return below
}

/** A parameter of a layer or a stack, by its full name. */
export interface Param {
  name: string
  shape: number[]
  ref: Ref
}

/** `grads.<input>`, in the input's own shape, wherever there is a gradient. */
export function answerGradients(
  p: RequestProgram,
  gradients: Record<
    string,
    readonly [gradient: Ref | undefined, input: Pick<TensorSource, 'shape'> | undefined]
  >,
): void {
  for (const [name, [gradient, input]] of Object.entries(gradients)) {
    if (gradient !== undefined && input !== undefined) p.output(`grads.${name}`, gradient, input.shape)
  }
}

/** `<prefix>params.<name>` (prefix: nothing, `grads.`, `encoder.`, `grads.encoder.`) for every parameter that `refOf` knows a buffer of. */
export function answerParams(
  p: RequestProgram,
  prefix: string,
  params: Param[],
  refOf: (param: Param) => Ref | undefined,
): void {
  for (const param of params) {
    const ref = refOf(param)
    if (ref !== undefined) p.output(`${prefix}params.${param.name}`, ref, param.shape)
  }
}
