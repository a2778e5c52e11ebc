/** The place at which a run goes on on another server: one that its program has. */
import type { FramePlace } from '../layers/outputs.ts'
import { fieldProblem, type Problem } from '../problem.ts'
import type { Resume } from './stream-messages.ts'

/** Whether it is the place of that barrier. */
export function isAt({ pass, layer, stack, item }: FramePlace, resume: Resume): boolean {
  if (pass !== resume.pass) return false
  if (pass === 'generate') return layer === resume.from_token && item === resume.item
  return layer === resume.from_layer && stack === resume.stack
}

/** Throws where no barrier is there: all frames would come again. */
export function checkResume(barriers: readonly FramePlace[], resume: Resume | undefined): void {
  if (resume === undefined || resume.pass === 'done' || barriers.some(each => isAt(each, resume))) return
  const { pass, from_layer, stack, from_token, item } = resume
  const ofPass = barriers.filter(each => each.pass === pass)
  if (pass === 'generate') {
    const ofItem = ofPass.filter(each => each.item === item)
    if (ofItem.length > 0) throw beyond('from_token', `tokens of text ${item}`, ofItem.length, from_token)
    throw beyond('item', 'texts', new Set(ofPass.map(each => each.item)).size, item)
  }
  const ofStack = ofPass.filter(each => each.stack === stack)
  if (stack !== undefined && ofStack.length === 0) {
    throw refused('stack', `none, as the ${pass} pass has no layers of an encoder`, stack)
  }
  const whose = stack === undefined ? '' : ' of the encoder'
  throw beyond('from_layer', `layers of the ${pass} pass${whose}`, ofStack.length, from_layer)
}

function beyond(field: string, what: string, count: number, got: unknown): Problem {
  return refused(field, `a number below the ${what} (${count})`, got)
}

function refused(field: string, expected: string, got: unknown): Problem {
  return fieldProblem('INVALID_REQUEST', `/resume/${field}`, `expected ${expected}, got ${got}`)
}
