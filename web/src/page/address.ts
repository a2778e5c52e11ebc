/** The address holds what is shown: `#attention?causal=top_left`. A link shows the same thing. */
export const VIEWS = ['attention', 'layers'] as const
export type ViewName = (typeof VIEWS)[number]

/** As the name of a model: none of a server's, but random numbers from a seed. */
export const SEEDED = ''

export interface Address {
  view: ViewName
  params: URLSearchParams
}

export function readAddress(hash: string): Address {
  const [name, query = ''] = hash.replace(/^#/, '').split('?')
  return { view: VIEWS.find(view => view === name) ?? 'attention', params: new URLSearchParams(query) }
}

/** Commas and semicolons may stand in an address as they are, and read better so. */
export function writeAddress({ view, params }: Address): string {
  const query = params.toString().replaceAll('%2C', ',').replaceAll('%3B', ';')
  return query === '' ? `#${view}` : `#${view}?${query}`
}

let timer: ReturnType<typeof setTimeout> | undefined

/** Soon, not at once: browsers limit how often an address may change, and a drag would change it at every step. */
export function rememberAddress(address: () => Address): void {
  clearTimeout(timer)
  timer = setTimeout(() => {
    const text = writeAddress(address())
    if (text !== location.hash) history.replaceState(null, '', text)
  }, 200)
}
