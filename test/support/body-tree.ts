/** Bodies as the pipeline reads them, without a server: the tree in which tensors are only located. */
import * as bodies from '../../src/formats/body.ts'
import { scan, shared } from './text-memory.ts'

/** Of JSON text, or a value as JSON. */
export async function jsonTree(body: unknown): Promise<unknown> {
  const bytes = shared(typeof body === 'string' ? body : JSON.stringify(body))
  return bodies.jsonTree(bytes, scan(bytes))
}

export async function fileTree(
  file: Uint8Array,
  format: bodies.BodyFormat = 'safetensors',
): Promise<unknown> {
  const bytes = shared(file)
  if (format === 'json') return bodies.jsonTree(bytes, scan(bytes))
  return (await bodies.safetensorsTree(bytes, text => shared(text), scan)).tree
}
