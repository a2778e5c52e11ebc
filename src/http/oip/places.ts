/** Where in a request of the protocol that stands which an endpoint's request has somewhere else: for problems. */
import { jsonPointer } from '../../../workers/text/json-pointer.ts'
import { tensorPath } from '../../formats/body.ts'
import type { FieldError } from '../../problem.ts'
import { inDatatypes } from './datatypes.ts'

export class Places {
  /** pointers of tensors in the endpoint's request → which input */
  readonly #inputs = new Map<string, number>()
  /** fields of the endpoint's request that are parameters of their own */
  readonly #parameters: Set<string>
  /** fields that stand in the parameter `request` */
  readonly #fields: Set<string>
  /** of each item of a list of the endpoint's request (`return`, `layers`), the output that asks for it */
  readonly #outputs: Map<string, (number | undefined)[]>

  constructor(
    inputs: string[],
    parameters: Iterable<string>,
    fields: Iterable<string>,
    outputs: Record<string, (number | undefined)[]>,
  ) {
    for (const [index, name] of inputs.entries()) this.#inputs.set(jsonPointer(...tensorPath(name)), index)
    this.#parameters = new Set(parameters)
    this.#fields = new Set(fields)
    this.#outputs = new Map(Object.entries(outputs))
  }

  of({ path, message }: FieldError): FieldError {
    for (let end = path.length; end > 0; end = path.lastIndexOf('/', end - 1)) {
      const index = this.#inputs.get(path.slice(0, end))
      if (index === undefined) continue
      return { path: `/inputs/${index}${belowInput(path.slice(end))}`, message: inDatatypes(message) }
    }
    if (path === '') return { path, message }
    const [, field = '', entry] = path.split('/')
    if (field === 'outputs') return { path, message }
    const asking =
      this.#fields.has(field) || this.#parameters.has(field) ? undefined : this.#outputs.get(field)
    if (asking !== undefined) {
      const index = entry === undefined ? undefined : asking[Number(entry)]
      return { path: index === undefined ? '/outputs' : `/outputs/${index}/name`, message }
    }
    if (this.#parameters.has(field)) return { path: `/parameters${path}`, message }
    if (this.#fields.has(field)) return { path: '/parameters/request', message: `at ${path}: ${message}` }
    const name = path.slice(1).replaceAll('/', '.')
    if (/^expected a tensor .* got nothing$/.test(message)) {
      return { path: '/inputs', message: `expected an input ${name}, got none` }
    }
    return { path: '/parameters', message: `${path}: ${message}` }
  }
}

/** `/shape`, `/data/17`; `/0/3` within nested arrays. */
function belowInput(below: string): string {
  return /^\/\d/.test(below) ? `/data${below}` : below
}
