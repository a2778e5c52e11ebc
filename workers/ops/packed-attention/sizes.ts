/** What packed sequences are told beside their tensors, and how much of the kernels' work one of them is. */
import { KEY_BLOCK, QUERY_TILE } from '../../layout.ts'
import { args as attentionArgs } from '../attention/args.ts'
import { partsOf } from '../attention/op.ts'
import { type ArgsOf, defineArgs } from '../define-op.ts'

/** `queries` and `keys` are those of the longest sequence. */
export const args = defineArgs({
  ...attentionArgs,
  sequences: 'i32',
  /** of all sequences: queries, keys, and pairs within a sequence */
  allQueries: 'i32',
  allKeys: 'i32',
  allPairs: 'f64',
  /** query tiles of one head */
  tiles: 'i32',
})

export type PackedArgs = ArgsOf<typeof args>

/** Query tiles of one head of a sequence. */
export function tilesOf(queries: number): number {
  return Math.ceil(queries / QUERY_TILE)
}

/** Units of attentionBackward for one kv head of a sequence. */
export function chainOf(keys: number, group: number): number {
  const parts = partsOf(keys)
  return group * parts * Math.max(1, Math.ceil(Math.ceil(keys / KEY_BLOCK) / parts))
}
