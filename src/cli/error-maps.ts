/** A comparison's request, asking for the error maps that its page shows. */
import type { FileRequest } from './post-file.ts'

/** What cannot be read comes back as it is: the server says what is wrong with it. */
export function withErrorMaps({ body, type }: FileRequest): FileRequest {
  try {
    return { body: type.includes('json') ? asked(body) : askedInFile(body), type }
  } catch {
    return { body, type }
  }
}

function asked(text: Buffer): Buffer {
  const request = JSON.parse(text.toString()) as object
  return Buffer.from(JSON.stringify({ ...request, error_maps: true }))
}

/** In `__metadata__.request` of a safetensors file: eight bytes of length, the header's JSON, the tensors. */
function askedInFile(file: Buffer): Buffer {
  const end = 8 + Number(file.readBigUInt64LE(0))
  const header = JSON.parse(file.toString('utf8', 8, end)) as { __metadata__?: { request?: string } }
  const request = asked(Buffer.from(header.__metadata__?.request ?? '{}')).toString()
  const text = Buffer.from(JSON.stringify({ ...header, __metadata__: { ...header.__metadata__, request } }))
  const padded = Buffer.concat([text, Buffer.alloc(-text.length & 7, ' ')])
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(padded.length))
  return Buffer.concat([length, padded, file.subarray(end)])
}
