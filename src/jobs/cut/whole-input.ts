/** The request of a job that is cut, as a safetensors file of plain elements: its parts read stretches of it. */
import { jsonPointer } from '../../../workers/text/json-pointer.ts'
import type { Engine } from '../../engine/engine.ts'
import { planMemory } from '../../engine/memory-plan.ts'
import { tensorPath } from '../../formats/body.ts'
import { RequestProgram } from '../../layers/program-builder.ts'
import { BYTES } from '../../program.ts'
import { writeHead } from './file.ts'
import type { Placed, Taken } from './subject.ts'

/** Integers in JSON say no type of their own. */
const WHOLE = /lengths$|^segments\.|positions$|^token_|^attention_mask$/
/** Bytes that are handed on at once. */
const SLICE = 4 << 20

type Kept = 'F64' | 'F32' | 'BOOL' | 'I32'

/** Smaller types are kept as float32, which has all of their numbers. */
function dtypeOf({ path, source: { dtype } }: Placed): Kept {
  if (WHOLE.test(path)) return 'I32'
  if (dtype === 'bool') return 'BOOL'
  return dtype === 'float64' ? 'F64' : 'F32'
}

/** `engine` reads the tensors, one after the other. */
export async function* wholeInput(
  { tensors, rest }: Taken,
  engine: Engine,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  const entries = tensors.map(tensor => ({
    name: tensor.path,
    dtype: dtypeOf(tensor),
    shape: tensor.source.shape,
  }))
  yield writeHead(entries, { request: JSON.stringify(rest) }).head
  for (const tensor of tensors) if (tensor.source.count > 0) yield* elements(tensor, engine, signal)
}

async function* elements(tensor: Placed, engine: Engine, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const { path, source } = tensor
  const dtype = dtypeOf(tensor)
  const p = new RequestProgram(dtype === 'F32' ? 'float32' : 'float64', 'propagate')
  const pointer = jsonPointer(...tensorPath(path))
  const ref =
    dtype === 'BOOL'
      ? p.inputMask(pointer, source)
      : dtype === 'I32'
        ? p.inputWhole(pointer, source)
        : p.input(pointer, source)
  p.keep(ref)
  p.finish()
  const admitted = engine.admit(p, planMemory(p))
  using lease = admitted instanceof Promise ? await admitted : admitted
  const { fault } = await engine.run(lease, signal)
  if (fault !== undefined) throw new Error(`a tensor that was read cannot be read again: ${path}`)
  const { offset, length, type } = lease.placement.buffers[ref]
  const bytes = length * BYTES[type]
  for (let at = 0; at < bytes; at += SLICE) {
    yield new Uint8Array(engine.arena.memory.buffer, offset + at, Math.min(SLICE, bytes - at))
  }
}
