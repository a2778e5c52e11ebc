/** zod's issues → the `errors` of a problem: a JSON pointer, and a message that says expected and actual. */
import type * as z from 'zod'
import { name } from '../formats/json-tensor.ts'
import { type FieldError, Problem } from '../problem.ts'

type Issue = z.core.$ZodIssue

/** Most errors one answer lists. */
const MOST = 20

export function schemaProblem(error: z.ZodError, body: unknown): Problem {
  const errors = error.issues.flatMap(issue => fieldErrors(issue, body)).slice(0, MOST)
  const [first] = errors
  const detail = first.path === '' ? first.message : `${first.path}: ${first.message}`
  return new Problem('INVALID_REQUEST', detail, { errors })
}

function fieldErrors(issue: Issue, body: unknown): FieldError[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map(key => ({
      path: pointer([...issue.path, key]),
      message: 'expected no such field, got one',
    }))
  }
  if (issue.code === 'invalid_union') {
    const nested = closest(issue.errors)
    if (nested !== undefined) {
      return nested.flatMap(inner =>
        fieldErrors({ ...inner, path: [...issue.path, ...inner.path] } as Issue, body),
      )
    }
  }
  if (issue.code === 'custom') return [{ path: pointer(issue.path), message: issue.message }]
  return [
    { path: pointer(issue.path), message: `expected ${expected(issue)}, got ${name(at(body, issue.path))}` },
  ]
}

/** The branch of a union that the value came furthest into, if it is clear which was meant. */
function closest(branches: Issue[][]): Issue[] | undefined {
  const deep = branches.filter(branch =>
    branch.every(issue => issue.path.length > 0 || issue.code === 'unrecognized_keys'),
  )
  const discriminated = deep.filter(branch => !branch.some(issue => issue.path[0] === 'kind'))
  return (
    (discriminated.length > 0 ? discriminated : deep)[0] ??
    branches.find(branch => branch.every(issue => issue.code === 'custom'))
  )
}

function expected(issue: Issue): string {
  switch (issue.code) {
    case 'invalid_type':
      return issue.expected === 'int'
        ? 'an integer'
        : `${/^[aeiou]/.test(issue.expected) ? 'an' : 'a'} ${issue.expected}`
    case 'invalid_value':
      return names(issue.values)
    case 'too_small':
      return `a number ${issue.inclusive ? 'of at least' : 'greater than'} ${issue.minimum}`
    case 'too_big':
      return `a number ${issue.inclusive ? 'of at most' : 'less than'} ${issue.maximum}`
    case 'invalid_union':
      // a discriminated union that found no branch has their names instead of their issues
      if (issue.errors.length === 0) return names((issue as unknown as { options: unknown[] }).options)
      return issue.errors.map(branch => expected(branch[0])).join(' or ')
    default:
      return issue.message
  }
}

function names(values: readonly unknown[]): string {
  const list = values.map(value => (typeof value === 'bigint' ? String(value) : JSON.stringify(value)))
  return `${values.length > 1 ? 'one of ' : ''}${list.join(', ')}`
}

function at(body: unknown, path: PropertyKey[]): unknown {
  return path.reduce<unknown>((node, key) => (node as Record<PropertyKey, unknown> | undefined)?.[key], body)
}

/** RFC 6901. */
export function pointer(path: PropertyKey[]): string {
  return path.map(key => `/${String(key).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('')
}
