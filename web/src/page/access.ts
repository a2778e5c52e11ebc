/** The reader's key, where the server asks for one: kept for this tab alone, and sent with every request. */
import { recallOfTab, rememberInTab } from './storage.ts'
import { Store } from './store.ts'

const KEY = 'key'

export interface Access {
  /** empty where there is none */
  key: string
  /** what the server has asked for last: a key, or another than this one */
  wanted: 'key' | 'another' | undefined
}

export const access = new Store<Access>({ key: recallOfTab(KEY) ?? '', wanted: undefined })

/** Whatever was refused for want of a key may be asked again then: `onKey`. */
export function chooseKey(key: string): void {
  rememberInTab(KEY, key)
  access.set({ key })
  for (const retry of [...retries]) retry()
}

const retries = new Set<() => void>()

/** Calls when the reader has given a key. */
export function onKey(retry: () => void): void {
  retries.add(retry)
}

/** Whether the server asks for keys, as far as the page knows. */
export function hasKey(): boolean {
  return access.value.key !== ''
}

/** A request to the server that the page came from. */
export async function ask(path: string, init: RequestInit = {}): Promise<Response> {
  const { key } = access.value
  const headers = new Headers(init.headers)
  if (key !== '') headers.set('authorization', `Bearer ${key}`)
  const response = await fetch(path, { ...init, headers })
  // what was asked with a key that has been replaced says nothing of the new one
  if (key === access.value.key) access.set({ wanted: wantedBy(response, key) })
  return response
}

function wantedBy({ status }: Response, key: string): Access['wanted'] {
  if (status !== 401) return undefined
  return key === '' ? 'key' : 'another'
}
