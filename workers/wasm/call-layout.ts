/**
 * The words of a family's WebAssembly calls: pointers to tensors, arguments, what is derived from them, and pointers to work
 * areas; the union over the family's ops, in the order in which they name them. `simd-module.ts` writes these words at the
 * beginning of a task's scratch memory, and `scripts/build-kernels.ts` makes the AssemblyScript class of them.
 */
import type { ArgSpec, Family, Op } from '../ops/define-op.ts'

export type WordType = 'usize' | 'i32' | 'u32' | 'f32' | 'f64'

export interface CallWord {
  name: string
  type: WordType
  /** byte offset in the call, a multiple of the type's size */
  at: number
}

export interface CallLayout {
  tensors: CallWord[]
  numbers: CallWord[]
  areas: CallWord[]
}

/** Those of a family's ops that have a WebAssembly kernel of their own. */
export function wasmOps({ ops }: Family): Op[] {
  return ops.filter(({ shared, pieces }) => !shared && pieces === undefined)
}

/** Every word of the layout, in its order. */
export function wordsOf({ tensors, numbers, areas }: CallLayout): CallWord[] {
  return [...tensors, ...numbers, ...areas]
}

export function callLayout(family: Family): CallLayout {
  const words = new Map<string, CallWord>()
  let bytes = 0
  const add = (name: string, type: WordType): CallWord[] => {
    const there = words.get(name)
    if (there !== undefined && there.type !== type) throw new Error(`${name}: ${there.type} and ${type}`)
    if (there !== undefined) return []
    const size = type === 'f64' ? 8 : 4
    const at = Math.ceil(bytes / size) * size
    bytes = at + size
    const word = { name, type, at }
    words.set(name, word)
    return [word]
  }
  const own = wasmOps(family)
  const layout: CallLayout = {
    tensors: own.flatMap(op => Object.keys(op.tensors).flatMap(name => add(name, 'usize'))),
    numbers: [
      ...own.flatMap(op => Object.entries(op.args).flatMap(([name, spec]) => addArg(add, name, spec))),
      ...own.flatMap(op => Object.entries(op.words ?? {}).flatMap(([name, { type }]) => add(name, type))),
    ],
    areas: own.flatMap(op => Object.keys(op.areas ?? {}).flatMap(name => add(name, 'usize'))),
  }
  if (bytes > family.callBytes) throw new Error(`${family.name}: a call has ${bytes} bytes`)
  return layout
}

function addArg(add: (name: string, type: WordType) => CallWord[], name: string, spec: ArgSpec): CallWord[] {
  if (typeof spec === 'string') return add(name, spec === 'flag' || spec === 'flag?' ? 'i32' : spec)
  return 'oneOf' in spec ? add(name, 'i32') : []
}
