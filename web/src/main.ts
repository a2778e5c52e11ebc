/** Puts the page together: head, one of the views, and the address that holds their state. */
import '@fontsource-variable/inter/wght.css'
import '@fontsource-variable/noto-sans-kr/wght.css'
import { AttentionModel } from './attention/model.ts'
import { readState, writeState } from './attention/state.ts'
import { attentionView } from './attention/view.ts'
import { LayersModel } from './layers/model.ts'
import { openRun, translateRun } from './layers/opening.ts'
import { readLayers, writeLayers } from './layers/state.ts'
import { layersView } from './layers/view.ts'
import { type Address, readAddress, rememberAddress, writeAddress } from './page/address.ts'
import { liveRegion } from './page/announce.ts'
import { h } from './page/dom.ts'
import { header } from './page/header.ts'
import { keyField } from './page/key-field.ts'
import { knownModels } from './page/models.ts'
import { chooseTheme, theme, watchTheme } from './page/theme.ts'
import type { View } from './page/view.ts'
import { chooseLanguage, currentLanguage, say } from './words/language.ts'

const first = readAddress(location.hash)
const none = new URLSearchParams()
const attention = new AttentionModel(readState(first.view === 'attention' ? first.params : none))
const layers = new LayersModel(readLayers(first.view === 'layers' ? first.params : none))
const main = h('main', { id: 'content', tabindex: -1 })
const shown = { name: first.view, tables: first.params.get('tables') === '1' }
let head = h('header')
let view: View | undefined
let key: View | undefined

function address(): Address {
  const params = shown.name === 'attention' ? writeState(attention.shown) : writeLayers(layers.shown)
  if (shown.tables) params.set('tables', '1')
  return { view: shown.name, params }
}

/** Made anew as a whole: changes of language and display are rare, and what matters lives in the models. */
function build(): void {
  view?.dispose()
  key?.dispose()
  key = keyField()
  view =
    shown.name === 'attention' ? attentionView(attention, shown.tables) : layersView(layers, shown.tables)
  if (shown.name === 'layers') openRun(layers)
  main.replaceChildren(key.element, view.element)
  buildHead()
  rememberAddress(address)
}

function buildHead(): void {
  const focused = document.activeElement?.id ?? ''
  const made = header({
    view: shown.name,
    tables: shown.tables,
    onTables: () => {
      shown.tables = !shown.tables
      build()
    },
    onTheme: () => chooseTheme(theme() === 'dark' ? 'light' : 'dark'),
    onLanguage: () => {
      chooseLanguage(currentLanguage() === 'ko' ? 'en' : 'ko')
      attention.translate()
      translateRun(layers)
      build()
    },
  })
  head.replaceWith(made)
  head = made
  skip.textContent = say().skip
  if (focused !== '') document.getElementById(focused)?.focus()
}

const skip = h('a', { class: 'skip', href: '#content', onclick: event => skipTo(event) }, say().skip)

function skipTo(event: MouseEvent): void {
  event.preventDefault()
  main.focus()
}

void knownModels()
build()
// what the HTML says for readers without the script stays until the page is there
document.body.replaceChildren(skip, head, main, liveRegion)
watchTheme(buildHead)
attention.state.watch(() => rememberAddress(address))
layers.state.watch(() => rememberAddress(address))
addEventListener('hashchange', () => {
  if (location.hash === writeAddress(address())) return
  const { view: name, params } = readAddress(location.hash)
  shown.name = name
  // a link between the views says nothing of how they are displayed
  if (params.size > 0) shown.tables = params.get('tables') === '1'
  if (params.size > 0 && name === 'attention') attention.state.set(readState(params))
  if (params.size > 0 && name === 'layers') {
    layers.state.set(readLayers(params))
    if (layers.state.value.run) layers.start()
  }
  build()
})
