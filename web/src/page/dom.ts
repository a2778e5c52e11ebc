/** Elements in one call: `h('button', { class: 'quiet', onclick }, 'Run')`. */

type Handlers = { [K in keyof HTMLElementEventMap as `on${K}`]?: (event: HTMLElementEventMap[K]) => void }
type Attributes = { [name: string]: string | number | boolean | undefined | ((event: never) => void) }
export type Child = Node | string | undefined | false

/** Attributes by their HTML names (true = present, false and undefined = absent); functions are listeners. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes & Handlers = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag)
  setAttributes(element, attributes)
  append(element, children)
  return element
}

const SVG = 'http://www.w3.org/2000/svg'

export function svg<K extends keyof SVGElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): SVGElementTagNameMap[K] {
  const element = document.createElementNS(SVG, tag)
  setAttributes(element, attributes)
  append(element, children)
  return element
}

function setAttributes(element: Element, attributes: Attributes): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') element.addEventListener(name.slice(2), value as EventListener)
    else if (value === true) element.setAttribute(name, '')
    else if (value !== false && value !== undefined) element.setAttribute(name, String(value))
  }
}

function append(element: Element, children: Child[]): void {
  for (const child of children) if (child !== undefined && child !== false) element.append(child)
}

/** What stands below or above the line: `_k`, `^0.5`, `^S′[i,j]`, `^(x − m)`. */
const SCRIPT = /_(\w)|\^(\([^)]*\)|[−\w.∞′]+(?:\[[^\]]*\])?)/

/** A text as formulas are set: `d_k` with a subscript, `e^x` with a superscript. */
export function formula(text: string): Node[] {
  const nodes: Node[] = []
  const parts = text.split(SCRIPT)
  for (let index = 0; index < parts.length; index += 3) {
    const [plain = '', below, above] = parts.slice(index, index + 3)
    nodes.push(document.createTextNode(plain))
    if (below !== undefined) nodes.push(h('sub', {}, below))
    if (above !== undefined) nodes.push(h('sup', {}, above.replace(/^\((.*)\)$/, '$1')))
  }
  return nodes
}
