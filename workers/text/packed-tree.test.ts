import { expect, it } from 'vitest'
import { scan, shared } from '../../test/support/text-memory.ts'
import { packTree, unpackTree } from './packed-tree.ts'

it('a tree that was packed is unpacked as it was', () => {
  const text =
    '{"a":null,"b":[null,true,["x","",{"c":-0.0}],false],"__proto__":{"toString":1e-300},"d":[1,2],"e":{},"0":[{}],"base64":"x"}'
  for (const json of [text, 'null', '"x"', '7', '[]', '[[1],[2]]']) {
    const found = scan(shared(json))
    if (!found.ok) throw new Error(json)
    const tree = unpackTree(structuredClone(packTree(found.value)))
    expect(tree).toStrictEqual(found.value)
    // objects have no prototype, as those of a scan
    if (json === text) expect(Object.getPrototypeOf((tree as { e: object }).e)).toBeNull()
  }
})
