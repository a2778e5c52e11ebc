/** Gives the reader a file, or a text on the clipboard. */
import { announce } from '../page/announce.ts'
import { h } from '../page/dom.ts'
import { say } from '../words/language.ts'

/** All of these tell whether something was put on the clipboard. */
export async function download(name: string, content: BlobPart, type: string): Promise<false> {
  const url = URL.createObjectURL(new Blob([content], { type }))
  h('a', { href: url, download: name }).click()
  setTimeout(() => URL.revokeObjectURL(url), 60_000)
  announce(say().saved(name), 0)
  return false
}

export async function downloadPng(name: string, canvas: HTMLCanvasElement): Promise<false> {
  const blob = await new Promise<Blob | null>(resolve => canvas.toBlob(resolve, 'image/png'))
  return blob === null ? false : download(name, blob, 'image/png')
}

/** Where the browser keeps its clipboard from the page, the text is shown to be copied by hand. */
export async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text)
    announce(say().copied, 0)
    return true
  } catch {
    showText(text)
    return false
  }
}

function showText(text: string): void {
  const area = h('textarea', { readonly: true, rows: 12, 'aria-label': say().copyBySelf })
  area.value = text
  const dialog = h(
    'dialog',
    { class: 'text-dialog', onclose: () => dialog.remove() },
    h('p', {}, say().copyBySelf),
    area,
    h('button', { type: 'button', class: 'button', onclick: () => dialog.close() }, say().close),
  )
  document.body.append(dialog)
  dialog.showModal()
  area.select()
}
