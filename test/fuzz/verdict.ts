/** What an answer to any body must be: no fault of the server's, and what is wrong is named by a place of the body. */
import { expect } from 'vitest'

export interface Answered {
  status: number
  text: string
}

/** The value at a JSON pointer, and whether there is one; for a member that is missing, whether its holder is there. */
export function stands(body: unknown, pointer: string): boolean {
  if (pointer === '') return true
  if (!pointer.startsWith('/')) return false
  const keys = pointer
    .slice(1)
    .split('/')
    .map(key => key.replaceAll('~1', '/').replaceAll('~0', '~'))
  let node = body
  for (const [index, key] of keys.entries()) {
    const last = index === keys.length - 1
    const isThere = typeof node === 'object' && node !== null && Object.hasOwn(node, key)
    if (!isThere) return last && isObject(node)
    node = (node as Record<string, unknown>)[key]
  }
  return true
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** `body`: what was sent, as a tree; undefined where the text is no JSON. */
export function expectFair(path: string, sent: string, body: unknown, { status, text }: Answered): void {
  const about = `${path} ${sent.slice(0, 3000)}\n→ ${status} ${text.slice(0, 600)}`
  expect(status, about).toBeLessThan(500)
  const answer = JSON.parse(text)
  if (status < 300) return
  expect(answer, about).toMatchObject({ status, code: expect.any(String), detail: expect.any(String) })
  for (const { path: pointer, message } of answer.errors ?? []) {
    expect(message, about).toMatch(/./)
    if (body === undefined) expect(pointer, about).toEqual(expect.any(String))
    else expect(stands(body, pointer), `${pointer} is no place of the body\n${about}`).toBe(true)
  }
}
