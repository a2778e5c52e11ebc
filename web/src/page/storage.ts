/** What the reader chose, kept from visit to visit where the browser allows it: a browser may refuse even to be asked. */
export function recall(key: string): string | null {
  try {
    return localStorage.getItem(key)
  } catch {
    return null
  }
}

export function remember(key: string, value: string): void {
  try {
    localStorage.setItem(key, value)
  } catch {
    // the choice holds for this visit only
  }
}
