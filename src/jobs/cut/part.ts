/** A part of an attention: a range of the batch, and in it a range of the key heads with the query heads that read them. */
export interface Part {
  batch: [from: number, to: number]
  kvHeads: [from: number, to: number]
}
