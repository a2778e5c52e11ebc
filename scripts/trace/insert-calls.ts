/** Writes a call at the beginning of every function of a TypeScript source; the lines stay where they are. */
import { parseAst } from 'vite'

interface Node {
  type: string
  start: number
  end: number
}

interface Insert {
  at: number
  text: string
}

/** Methods, getters and constructors hold function expressions. */
const FUNCTIONS = new Set(['FunctionDeclaration', 'FunctionExpression', 'ArrowFunctionExpression'])

/** `callAt` writes the call for a function whose body begins on a line. */
export function insertCalls(source: string, callAt: (line: number) => string): string {
  const inserts: Insert[] = []
  visitBodies(parseAst(source, { lang: 'ts' }), body => {
    const call = callAt(source.slice(0, body.start).split('\n').length)
    if (body.type === 'BlockStatement') inserts.push({ at: body.start + 1, text: `${call};` })
    // the body of an arrow may be an expression
    else inserts.push({ at: body.start, text: `(${call}, ` }, { at: body.end, text: ')' })
  })
  let text = ''
  let from = 0
  for (const insert of inserts.sort((a, b) => a.at - b.at)) {
    text += source.slice(from, insert.at) + insert.text
    from = insert.at
  }
  return text + source.slice(from)
}

function visitBodies(node: unknown, visit: (body: Node) => void): void {
  if (Array.isArray(node)) {
    for (const one of node) visitBodies(one, visit)
  } else if (isNode(node)) {
    if (FUNCTIONS.has(node.type) && 'body' in node && isNode(node.body)) visit(node.body)
    for (const value of Object.values(node)) visitBodies(value, visit)
  }
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && 'type' in value && 'start' in value
}
