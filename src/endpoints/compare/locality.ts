/** What is wrong in one place alone: a batch element, a head, a tile of rows or of dimensions. No request can say it. */
import { product } from '../../formats/tensor.ts'
import type { Hypothesis } from './hypotheses/hypothesis.ts'
import { type Places, placesOf } from './places.ts'
import type { Report } from './report.ts'

interface Finding {
  says: string
  change: Hypothesis['change']
  explains: number
}

/** Heads that a sentence lists. */
const MOST_LISTED = 8
/** The share of its rows that a range is wrong in, at least, to be a tile. */
const FILLED = 0.75
/** A range of more than this share is no part: what is right beside it may be so by chance. */
const MOST_OF_ALL = 7 / 8

/** undefined where a tensor that fails is wrong all over. */
export function locality({ tensors }: Report): Finding | undefined {
  const failed = Object.entries(tensors).filter(([, { verdict }]) => verdict === 'fail')
  const places = failed.map(([name, tensor]) => [name, placeOf(placesOf(tensor))] as const)
  if (places.length === 0 || places.some(([, place]) => place === undefined)) return undefined
  const texts = new Set(places.map(([, place]) => place))
  const where =
    texts.size === 1
      ? `${[...texts][0]} of ${places.map(([name]) => name).join(', ')}`
      : places.map(([name, place]) => `${name}: ${place}`).join('; ')
  return { says: `Only a part is wrong, and all else is right: ${where}.`, change: null, explains: 1 }
}

function placeOf({ extents, rows, columns, bad }: Places): string | undefined {
  if (bad.length === 0) return undefined
  const parts = [
    range(
      'row',
      rows,
      bad.map(({ firstRow, lastRow, badRows }) => [firstRow, lastRow, badRows]),
    ),
    range(
      'dimension',
      columns,
      bad.map(({ firstColumn: from, lastColumn: to }) => [from, to, to - from + 1]),
    ),
  ].filter(part => part !== undefined)
  if (bad.length === product(extents) && parts.length === 0) return undefined
  return [
    ...parts,
    headsOf(
      extents,
      bad.map(({ index }) => index),
    ),
  ].join(' of ')
}

/** The same range in every head that is wrong, where it is not all there are. */
function range(what: string, count: number, found: [number, number, number][]): string | undefined {
  const from = Math.min(...found.map(([first]) => first))
  const to = Math.max(...found.map(([, last]) => last))
  const length = to - from + 1
  if (length > MOST_OF_ALL * count || found.some(([, , bad]) => bad < FILLED * length)) return undefined
  if (length === 1) return `${what} ${from}`
  const tile = length >= 8 && from % length === 0 ? ` (a tile of ${length})` : ''
  const end = to === count - 1 && from % 8 === 0 ? ` (the last, from ${from} on)` : ''
  return `${what}s ${from} to ${to}${tile || end}`
}

function headsOf(extents: number[], indices: number[][]): string {
  const count = product(extents)
  if (indices.length === count) return count === 1 ? 'it' : 'every head'
  // [batch, head]: whole batch elements, or heads of each of them
  if (extents.length === 2) {
    const batches = new Set(indices.map(([batch]) => batch))
    const heads = new Set(indices.map(([, head]) => head))
    const [batchCount, headCount] = extents
    const isProduct = indices.length === batches.size * heads.size
    if (isProduct && heads.size === headCount) return `batch element ${listed([...batches])}`
    if (isProduct && batches.size === batchCount && batchCount > 1)
      return `head ${listed([...heads])} of every batch element`
  }
  return `head ${listed(indices.map(index => `[${index.join(', ')}]`))}`
}

function listed(places: (number | string)[]): string {
  const shown = places.slice(0, MOST_LISTED).join(', ')
  return places.length > MOST_LISTED ? `${shown} and ${places.length - MOST_LISTED} more` : shown
}
