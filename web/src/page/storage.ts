/** What the reader chose, kept where the browser allows it: a browser may refuse even to be asked. */

/** From visit to visit. */
export function recall(key: string): string | null {
  return attempt(() => localStorage.getItem(key)) ?? null
}

export function remember(key: string, value: string): void {
  attempt(() => localStorage.setItem(key, value))
}

/** Until the tab is closed, and for this tab alone. */
export function recallOfTab(key: string): string | null {
  return attempt(() => sessionStorage.getItem(key)) ?? null
}

export function rememberInTab(key: string, value: string): void {
  attempt(() => sessionStorage.setItem(key, value))
}

/** Where it is refused, the choice holds for as long as the page is open. */
function attempt<T>(act: () => T): T | undefined {
  try {
    return act()
  } catch {
    return undefined
  }
}
