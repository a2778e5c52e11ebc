/** Unmasks bytes of a frame's payload in their place (RFC 6455, 5.3), four at a time; `before` bytes of it have come before them. */
export function unmask(bytes: Buffer, mask: Uint8Array, before: number): void {
  const head = Math.min(bytes.length, -bytes.byteOffset & 3)
  const count = (bytes.length - head) >> 2
  for (let at = 0; at < head; at++) bytes[at] ^= mask[(before + at) & 3]
  if (count > 0) {
    const words = new Int32Array(bytes.buffer, bytes.byteOffset + head, count)
    const [word] = new Int32Array(Uint8Array.from(mask, (_, at) => mask[(before + head + at) & 3]).buffer)
    for (let at = 0; at < count; at++) words[at] ^= word
  }
  for (let at = head + 4 * count; at < bytes.length; at++) bytes[at] ^= mask[(before + at) & 3]
}
