/** A view on the page: made anew when the language or the kind of display changes, while its model lives on. */
export interface View {
  element: HTMLElement
  dispose(): void
}
