/** The buttons under a view that carry away what is on screen. */
import { hasKey } from '../page/access.ts'
import { h } from '../page/dom.ts'
import { say } from '../words/language.ts'
import { asCurl, asPython } from './code.ts'
import { type LabelledMatrix, writeCsv } from './csv.ts'
import { copy, download, downloadPng } from './download.ts'
import { type NamedTensor, writeSafetensors } from './safetensors.ts'
import { canvasOf, type Sheet, svgOf } from './sheet.ts'

/** What a view has to give; asked for when a button is pressed. */
export interface Exportable {
  /** of files, without an ending */
  readonly name: string
  picture(): Sheet
  matrices(): LabelledMatrix[]
  tensors(): NamedTensor[]
  /** what else the server answered */
  facts(): Record<string, unknown>
  request(): { path: string; body: unknown }
}

export function exportBar(view: Exportable): HTMLElement {
  const done = h('span', { class: 'quiet', 'aria-hidden': 'true' })
  const button = (label: string, id: string, act: () => Promise<boolean>) =>
    h(
      'button',
      {
        type: 'button',
        class: 'button',
        'data-export': id,
        onclick: async () => {
          done.textContent = (await act()) ? say().copied : ''
        },
      },
      label,
    )
  // with the prefix that a proxy may serve the page below
  const origin = new URL('.', document.baseURI).href.slice(0, -1)
  return h(
    'div',
    { class: 'export', role: 'group', 'aria-label': say().export },
    button(say().exportPng, 'png', () => downloadPng(`${view.name}.png`, canvasOf(view.picture()))),
    button(say().exportSvg, 'svg', () =>
      download(`${view.name}.svg`, svgOf(view.picture()), 'image/svg+xml'),
    ),
    button(say().exportCsv, 'csv', () =>
      // a byte order mark tells spreadsheets that the labels are UTF-8
      download(`${view.name}.csv`, `\ufeff${writeCsv(view.matrices())}`, 'text/csv'),
    ),
    button(say().exportSafetensors, 'safetensors', () => {
      const metadata = {
        request: JSON.stringify(view.request().body),
        response: JSON.stringify(view.facts()),
      }
      return download(
        `${view.name}.safetensors`,
        writeSafetensors(view.tensors(), metadata),
        'application/octet-stream',
      )
    }),
    button(say().copyCurl, 'curl', () =>
      copy(asCurl(origin, view.request().path, view.request().body, hasKey())),
    ),
    button(say().copyPython, 'python', () =>
      copy(asPython(origin, view.request().path, view.request().body, hasKey())),
    ),
    button(say().copyLink, 'link', () => copy(location.href)),
    done,
  )
}
