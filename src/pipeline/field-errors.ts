/** A tree that does not fit its schema → the Problem that names the fields: what was expected, what came. */
import type * as z from 'zod'
import { jsonPointer } from '../../workers/text/json-pointer.ts'
import { isTree } from '../formats/body.ts'
import { NumbersSpan, name } from '../formats/tensor.ts'
import { type FieldError, fieldsProblem, type Problem } from '../problem.ts'

type Issue = z.core.$ZodIssue

/** Most errors one answer lists. */
const MOST = 20
/** Most numbers that are read where a list of something else was wanted. */
const MOST_READ = 1000

export function schemaProblem(schema: z.ZodType, tree: unknown, error: z.ZodError): Problem {
  const issues = readLists(error.issues, tree) ? (schema.safeParse(tree).error?.issues ?? []) : error.issues
  const known = issues.length > 0 ? issues : error.issues
  const errors = new Map<string, FieldError>()
  for (const issue of known) {
    for (const error of fieldErrors(issue, tree)) errors.set(`${error.path} ${error.message}`, error)
    if (errors.size >= MOST) break
  }
  return fieldsProblem('INVALID_REQUEST', [...errors.values()].slice(0, MOST))
}

/** Puts numbers that were only located in their places where a plain list was wanted, so that each can be judged. */
function readLists(issues: Issue[], tree: unknown): boolean {
  let some = false
  for (const { code, path } of issues.slice(0, MOST)) {
    const span = code === 'invalid_type' && path.length > 0 ? at(tree, path) : undefined
    const list = span instanceof NumbersSpan ? span.toArray(MOST_READ) : span
    if (list === span) continue
    const around = at(tree, path.slice(0, -1)) as Record<PropertyKey, unknown>
    around[path[path.length - 1]] = list
    some = true
  }
  return some
}

function fieldErrors(issue: Issue, body: unknown): FieldError[] {
  const holder = noObject(issue, body)
  if (holder !== undefined) {
    const message = `expected an object, got ${name(at(body, holder))}`
    return [{ path: jsonPointer(...holder), message }]
  }
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.slice(0, MOST).map(key => ({
      path: jsonPointer(...issue.path, key),
      message: 'expected no such field, got one',
    }))
  }
  if (issue.code === 'invalid_union') {
    const nested = closest(flat(issue.errors), hasMembers(at(body, issue.path)))
    if (nested !== undefined) {
      return nested.flatMap(inner =>
        fieldErrors({ ...inner, path: [...issue.path, ...inner.path] } as Issue, body),
      )
    }
  }
  if (issue.code === 'too_big' && issue.origin === 'array') {
    const got = (at(body, issue.path) as unknown[]).length
    return [
      { path: jsonPointer(...issue.path), message: `expected at most ${issue.maximum} elements, got ${got}` },
    ]
  }
  if (issue.code === 'custom') return [{ path: jsonPointer(...issue.path), message: issue.message }]
  return [
    {
      path: jsonPointer(...issue.path),
      message: `expected ${expected(issue)}, got ${name(at(body, issue.path))}`,
    },
  ]
}

/** Where, at or above a member that is named, no object stands: an array or a string that was only located has no members. */
function noObject({ code, path }: Issue, body: unknown): PropertyKey[] | undefined {
  for (let length = 0; length < path.length; length++) {
    if (typeof path[length] !== 'string') continue
    const above = path.slice(0, length)
    if (!hasMembers(at(body, above))) return above
  }
  return code === 'unrecognized_keys' && !hasMembers(at(body, path)) ? path : undefined
}

/** A union within a union: its branches beside the others. */
function flat(branches: Issue[][]): Issue[][] {
  return branches.flatMap(branch => {
    const [only] = branch
    const isUnion = branch.length === 1 && only.code === 'invalid_union' && only.path.length === 0
    return isUnion && only.errors.length > 0 ? flat(only.errors) : [branch]
  })
}

/** The branch of a union that the value came furthest into, if it is clear which was meant. */
function closest(branches: Issue[][], isObject: boolean): Issue[] | undefined {
  const deep = isObject ? branches.filter(branch => branch.every(isMember)) : []
  const meant = deep.filter(branch => !branch.some(isKind))
  if (meant.length > 0) return meant[0]
  // of no branch's kind: every kind there is was possible
  const kinds = deep.flatMap(branch => branch.filter(isKind))
  if (kinds.length > 0) return [{ ...kinds[0], values: kinds.flatMap(({ values }) => values) }]
  return branches.find(branch => branch.every(issue => issue.code === 'custom'))
}

/** Is it the `kind` of an object that tells one branch of a union from the others? */
function isKind(issue: Issue): issue is z.core.$ZodIssueInvalidValue {
  return issue.code === 'invalid_value' && issue.path.length === 1 && issue.path[0] === 'kind'
}

function expected(issue: Issue): string {
  switch (issue.code) {
    case 'invalid_type':
      if (issue.expected === 'int') return 'an integer'
      if (issue.expected === 'record') return 'an object'
      return `${/^[aeiou]/.test(issue.expected) ? 'an' : 'a'} ${issue.expected}`
    case 'invalid_value':
      return names(issue.values)
    case 'too_small':
      return `a number ${issue.inclusive ? 'of at least' : 'greater than'} ${issue.minimum}`
    case 'too_big':
      return `a number ${issue.inclusive ? 'of at most' : 'less than'} ${issue.maximum}`
    case 'invalid_union':
      // a discriminated union that found no branch has their names instead of their issues
      if (issue.errors.length === 0) return names((issue as unknown as { options: unknown[] }).options)
      return [
        ...new Set(issue.errors.map(([first]) => (isMember(first) ? 'an object' : expected(first)))),
      ].join(' or ')
    default:
      return issue.message
  }
}

/** Is it an object, of a body or within one (a plan's)? What was only located is an object of another kind. */
function hasMembers(value: unknown): boolean {
  return (
    isTree(value) || (typeof value === 'object' && Object.getPrototypeOf(value ?? []) === Object.prototype)
  )
}

/** Is it about a member of what was to be an object? */
function isMember({ code, path }: Issue): boolean {
  return path.length > 0 || code === 'unrecognized_keys'
}

function names(values: readonly unknown[]): string {
  const list = values.map(value => (typeof value === 'bigint' ? String(value) : JSON.stringify(value)))
  return `${values.length > 1 ? 'one of ' : ''}${list.join(', ')}`
}

function at(body: unknown, path: PropertyKey[]): unknown {
  return path.reduce<unknown>((node, key) => (node as Record<PropertyKey, unknown> | undefined)?.[key], body)
}
