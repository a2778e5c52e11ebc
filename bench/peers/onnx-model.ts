/** An ONNX model of one Attention-23 node, written as protocol buffers by hand (onnx.proto, field numbers beside). */

/** A field of wire type 2: bytes, text or a nested message. */
function field(number: number, content: Uint8Array | string): Buffer {
  const bytes = Buffer.from(content as string)
  return Buffer.concat([varint((number << 3) | 2), varint(bytes.length), bytes])
}

function integer(number: number, value: number): Buffer {
  return Buffer.concat([varint(number << 3), varint(value)])
}

function varint(value: number): Buffer {
  const bytes: number[] = []
  let rest = value
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128)
  return Buffer.from([...bytes, rest])
}

/** ValueInfoProto: name 1, type 2 { tensor_type 1 { elem_type 1 = float, shape 2 { dim 1 { dim_value 1 } } } } */
function value(name: string, shape: number[]): Buffer {
  const dims = Buffer.concat(shape.map(extent => field(1, integer(1, extent))))
  const tensor = Buffer.concat([integer(1, 1), field(2, dims)])
  return Buffer.concat([field(1, name), field(2, field(1, tensor))])
}

/** q, k, v and output [1, heads, n, dim]. */
export function attentionModel(heads: number, n: number, dim: number, causal: boolean): Uint8Array {
  const shape = [1, heads, n, dim]
  // AttributeProto: name 1, i 3, type 20 = INT
  const isCausal = Buffer.concat([field(1, 'is_causal'), integer(3, causal ? 1 : 0), integer(20, 2)])
  // NodeProto: input 1, output 2, op_type 4, attribute 5
  const inputs = ['q', 'k', 'v'].map(name => field(1, name))
  const node = Buffer.concat([...inputs, field(2, 'output'), field(4, 'Attention'), field(5, isCausal)])
  // GraphProto: node 1, name 2, input 11, output 12
  const values = ['q', 'k', 'v'].map(name => field(11, value(name, shape)))
  const graph = Buffer.concat([
    field(1, node),
    field(2, 'attention'),
    ...values,
    field(12, value('output', shape)),
  ])
  // ModelProto: ir_version 1, graph 7, opset_import 8 { version 2 }
  return Buffer.concat([integer(1, 10), field(7, graph), field(8, integer(2, 23))])
}
