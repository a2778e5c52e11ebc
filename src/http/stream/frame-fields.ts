/** What a frame says of its place: which layer of which pass it is of, or which token; and how a run's frames are written. */
import type { FramePlace } from '../../layers/outputs.ts'
import type { Fields } from '../../pipeline/encode.ts'
import { type Numerics, type ReplyStyle, replyStyle } from '../../pipeline/reply.ts'

export type FrameType = 'layer' | 'token' | 'done' | 'map'
export type FrameFields = Fields & { type: FrameType }

export function frameFields(
  id: string,
  { pass, stack, layer, item }: FramePlace,
  timing: Fields,
): FrameFields {
  if (pass === 'generate') return { type: 'token', id, item, index: layer, timing }
  return { type: 'layer', id, pass, ...(stack && { stack }), index: layer, timing }
}

type Written = Omit<Numerics, 'encoding'> & { encoding: Numerics['encoding'] | 'safetensors' }

export function styleOf(message: Written): ReplyStyle {
  const { encoding } = message
  const style =
    encoding === 'safetensors'
      ? replyStyle({ ...message, encoding: 'base64' }, 'safetensors')
      : replyStyle({ ...message, encoding }, 'json')
  return { ...style, fields: 'frame' }
}
