/** A request of the protocol → the request of an endpoint, and what is to be answered of it. */

import type { Compilable } from '../../endpoints/endpoint.ts'
import { isTree, putTensor } from '../../formats/body.ts'
import { TextSpan } from '../../formats/tensor.ts'
import type { RequestProgram } from '../../layers/program-builder.ts'
import type { Decoded } from '../../pipeline/decode.ts'
import { parse } from '../../pipeline/serve.ts'
import { fieldProblem, fieldsProblem, Problem } from '../../problem.ts'
import { type NamedInput, readInputs, refuseUnsupported } from './inputs.ts'
import { chooseLayers } from './layers.ts'
import type { InferenceModel, OutputOf } from './models.ts'
import { Places } from './places.ts'
import { InferenceRequest } from './schema.ts'

/** An output as it was asked for. */
export interface Asked extends OutputOf {
  name: string
  binary: boolean
}

export interface Call {
  id: string | undefined
  /** milliseconds that its client gives it */
  timeout: number | undefined
  asked: Asked[]
  /** of the inputs */
  shapes: Map<string, number[]>
  /** where in it what stands that its endpoint may find wrong */
  places: Places
}

/** Of Triton: they say nothing to a server without sequences and priorities. */
const IGNORED = /^(sequence_(id|start|end)|priority|headers|triton_.*)$/
/** What other means of the protocol say. */
const ELSEWHERE: Record<string, string> = {
  return: 'the outputs that are asked for',
  encoding: 'binary_data of an output',
}
const NO_FIELD = 'expected no such field, got one'
/** Bytes of the text of the parameter `request`. */
const MOST_TEXT = 1 << 20

/** The body's tree becomes that of the endpoint's request. Throws a 400 in the protocol's own terms. */
export async function readCall(body: Decoded, model: InferenceModel): Promise<Call> {
  const { id, parameters = {}, inputs, outputs } = parse(InferenceRequest, body.tree)
  const given = readInputs(inputs, body.rest, model.texts)
  const { binary_data_output: binary, timeout, request, ...others } = parameters
  if (binary !== undefined && typeof binary !== 'boolean') throw wrong('binary_data_output', 'a boolean')
  if (timeout !== undefined && !(typeof timeout === 'number' && timeout >= 0)) {
    throw wrong('timeout', 'a number of microseconds')
  }
  const options = Object.entries(others).filter(([name]) => !IGNORED.test(name))
  const tree = request === undefined ? Object.create(null) : await treeOf(request, body)
  const fields = Object.keys(tree)
  for (const [name, value] of options) {
    if (fields.includes(name)) throw twice(name)
    tree[name] = value
  }
  for (const [name, instead] of Object.entries(ELSEWHERE)) {
    if (!Object.hasOwn(tree, name)) continue
    const at = fields.includes(name) ? 'request' : name
    throw fieldProblem('INVALID_REQUEST', `/parameters/${at}`, `expected no ${name}: ${instead} say it here`)
  }
  putInputs(tree, given)
  const { asked, returned, of } = readOutputs(outputs, model, binary ?? false)
  refuseGradients(asked, tree)
  const layers = chooseLayers(asked, tree)
  tree.return = returned
  body.tree = tree
  const names = given.map(({ name }) => name)
  const places = new Places(
    names,
    options.map(([name]) => name),
    fields,
    { return: of, layers },
  )
  const shapes = new Map(given.map(({ name, shape }) => [name, shape]))
  return { id, timeout: timeout ? timeout / 1000 : undefined, asked, shapes, places }
}

function wrong(name: string, expected: string): Problem {
  return fieldProblem('INVALID_REQUEST', `/parameters/${name}`, `expected ${expected}, got something else`)
}

function twice(name: string): Problem {
  const message = `expected ${name} once, got it in the parameter request too`
  return fieldsProblem('INVALID_REQUEST', [
    { path: `/parameters/${name}`, message },
    { path: '/parameters/request', message },
  ])
}

/** The nested options. */
async function treeOf(request: unknown, body: Decoded): Promise<Record<string, unknown>> {
  const at = '/parameters/request'
  const text = textOf(request)
  if (text === undefined) throw wrong('request', 'the JSON text of an object')
  if (text.length > MOST_TEXT) {
    throw fieldProblem('INVALID_REQUEST', at, `expected at most ${MOST_TEXT} bytes, got ${text.length}`)
  }
  const tree = await body.read(text).catch(error => {
    if (!(error instanceof Problem) || error.status !== 400) throw error
    throw fieldProblem(error.code, at, error.message)
  })
  if (isTree(tree)) return tree
  throw fieldProblem('INVALID_REQUEST', at, 'expected the JSON text of an object, got another value')
}

/** A long string stands where it came, escaped as it is. */
function textOf(value: unknown): Uint8Array | undefined {
  if (typeof value === 'string') return Buffer.from(value)
  if (!(value instanceof TextSpan)) return undefined
  const { start, end } = value.span
  const quoted = Buffer.from(value.bytes.subarray(start - 1, end + 1))
  return Buffer.from(JSON.parse(quoted.toString('utf8')))
}

function putInputs(tree: Record<string, unknown>, inputs: NamedInput[]): void {
  for (const [index, { name, value }] of inputs.entries()) {
    if (name.includes('__proto__')) throw fieldProblem('INVALID_REQUEST', `/inputs/${index}/name`, NO_FIELD)
    if (putTensor(tree, name, value)) continue
    const message = `expected ${name} once, got a parameter or another input in its place`
    throw fieldProblem('INVALID_REQUEST', `/inputs/${index}/name`, message)
  }
}

/** `of`: for each name that is returned, which output asks for it. */
function readOutputs(outputs: InferenceRequest['outputs'] = [], model: InferenceModel, binary: boolean) {
  if (outputs.length === 0) {
    const asked = model.outputs.map(({ name }) => ({ name, binary, ...model.output(name) }))
    const returned = asked.flatMap(each => each.returned ?? [])
    return { asked, returned, of: [] }
  }
  const asked = new Map<string, Asked>()
  const returned = new Map<string, number>()
  for (const [index, { name, parameters = {} }] of outputs.entries()) {
    refuseUnsupported(parameters, `/outputs/${index}`, ['classification', 'shared_memory_region'])
    if (asked.has(name)) {
      throw fieldProblem('INVALID_REQUEST', `/outputs/${index}/name`, `expected ${name} once, got it twice`)
    }
    const output = model.output(name)
    const { returned: by } = output
    asked.set(name, { name, ...output, binary: parameters.binary_data ?? binary })
    if (by !== undefined && !returned.has(by)) returned.set(by, index)
  }
  return { asked: [...asked.values()], returned: [...returned.keys()], of: [...returned.values()] }
}

function refuseGradients(asked: Asked[], tree: Record<string, unknown>): void {
  const index = asked.findIndex(({ from }) => from.startsWith('grads.'))
  if (index < 0 || tree.backward !== undefined) return
  const expected = 'an input backward.grad_output or backward.target, or backward in the parameter request'
  throw fieldProblem(
    'INVALID_REQUEST',
    `/outputs/${index}/name`,
    `expected ${expected} beside ${asked[index].name}, got none`,
  )
}

/** The same way to a program, which then answers what was asked for and nothing else. */
export function answering(of: Compilable, asked: Asked[]): Compilable {
  return {
    ...of,
    *compile(p: RequestProgram, request: unknown) {
      const compiling = of.compile(p, request)
      if (compiling !== undefined) yield* compiling
      const found = new Map(p.outputs.map(output => [output.name, output]))
      const outputs = asked.map(({ name, from }, index) => {
        const output = found.get(from)
        if (output !== undefined) return { ...output, name }
        const known = [...found.keys()].slice(0, MOST_NAMES).join(', ')
        throw fieldProblem(
          'INVALID_REQUEST',
          `/outputs/${index}/name`,
          `expected one of ${known}, got ${name}`,
        )
      })
      p.outputs.splice(0, p.outputs.length, ...outputs)
    },
  }
}

const MOST_NAMES = 20
