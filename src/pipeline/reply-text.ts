/** JSON text around the tensors of an answer: where each stands by its name, and the frame of its form. */
import { tensorPath } from '../formats/body.ts'
import type { OutputTensor } from '../layers/program-builder.ts'
import type { AnswerStyle } from './reply.ts'

type Tree = { [key: string]: Tree | OutputTensor | unknown }

/** `grads.q` stands below `grads`; `layers.0.weights` in the first of an array. */
/** Messages of a stream begin with what is no tensor: their type. */
export function answerTree(outputs: OutputTensor[], rest: Record<string, unknown>, style: AnswerStyle): Tree {
  const tree: Tree = {}
  const addRest = () => {
    for (const [name, value] of Object.entries(rest)) put(tree, tensorPath(name), value)
  }
  if (style.rest === 'frame') addRest()
  for (const output of outputs) if (!output.name.includes('.')) tree[output.name] = output
  if (style.rest !== 'frame') addRest()
  for (const output of outputs) if (output.name.includes('.')) put(tree, tensorPath(output.name), output)
  return tree
}

function put(tree: Tree, [head, ...below]: string[], value: unknown): void {
  if (below.length === 0) {
    tree[head] = value
    return
  }
  tree[head] ??= /^\d+$/.test(below[0]) ? [] : {}
  put(tree[head] as Tree, below, value)
}

/** JSON text around the tensors, and the tensors in their places. */
export function* jsonPieces(tree: Tree, style: AnswerStyle): Generator<Uint8Array | OutputTensor> {
  let text = ''
  function* node(value: unknown): Generator<OutputTensor | string> {
    if (isOutput(value)) {
      const [open, close] = frame(value, style)
      text += open
      yield text
      text = close
      yield value
      return
    }
    if (typeof value !== 'object' || value === null) {
      text += JSON.stringify(value)
      return
    }
    const list = Array.isArray(value)
    text += list ? '[' : '{'
    for (const [index, [key, member]] of Object.entries(value).entries()) {
      text += `${index > 0 ? ',' : ''}${list ? '' : `${JSON.stringify(key)}:`}`
      yield* node(member)
    }
    text += list ? ']' : '}'
  }
  for (const piece of node(tree)) yield typeof piece === 'string' ? Buffer.from(piece) : piece
  yield Buffer.from(text)
}

function isOutput(value: unknown): value is OutputTensor {
  return (
    typeof value === 'object' && value !== null && 'buffer' in value && 'shape' in value && 'name' in value
  )
}

function frame({ shape, dtype }: OutputTensor, { encoding, dtype: usual }: AnswerStyle): [string, string] {
  if (encoding === 'nested') return ['', '']
  const head = `{"shape":${JSON.stringify(shape)},"dtype":"${dtype ?? usual}",`
  return encoding === 'flat' ? [`${head}"data":`, '}'] : [`${head}"base64":"`, '"}']
}
