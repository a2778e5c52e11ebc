/** Bodies as the pipeline reads them, without a server: the tree in which tensors are only located. */
import { type BodyFormat, parseBody } from '../../src/formats/body.ts'
import { scan, shared } from './text-memory.ts'

const context = { scan, scanHere: scan, share: (text: Uint8Array) => shared(text) }

/** Of JSON text, or a value as JSON. */
export function jsonTree(body: unknown): Promise<unknown> {
  return parseBody('json', shared(typeof body === 'string' ? body : JSON.stringify(body)), context)
}

export function fileTree(file: Uint8Array, format: BodyFormat = 'safetensors'): Promise<unknown> {
  return parseBody(format, shared(file), context)
}
