import { isUtf8 } from 'node:buffer'
import { TextDecoder } from 'node:util'
import { lineBlocks } from './line-blocks.ts'

/** Bytes as UTF-8 without a byte order mark: UTF-16 (either order, told by its mark) is converted, the rest passed on. */
export async function* asUtf8(input: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let head: Buffer | undefined = Buffer.alloc(0)
  let decoder: TextDecoder | undefined
  for await (const bytes of input) {
    let rest = bytes
    if (head !== undefined) {
      head = Buffer.concat([head, bytes])
      if (head.length < 3) continue
      decoder = utf16Decoder(head)
      rest = startsWithUtf8Mark(head) ? head.subarray(3) : head
      head = undefined
    }
    if (decoder === undefined) yield rest
    else yield Buffer.from(decoder.decode(rest, { stream: true }))
  }
  if (head !== undefined) {
    decoder = utf16Decoder(head)
    if (decoder === undefined) yield head
    else yield Buffer.from(decoder.decode(head, { stream: true }))
  }
  if (decoder !== undefined) yield Buffer.from(decoder.decode())
}

function startsWithUtf8Mark(bytes: Buffer): boolean {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf
}

function utf16Decoder(bytes: Buffer): TextDecoder | undefined {
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return new TextDecoder('utf-16le')
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return new TextDecoder('utf-16be')
  return undefined
}

/** Blocks of whole lines; lines that are not valid UTF-8 are read as Windows-1252, the usual superset of Latin-1. */
export async function* legacyTextAsUtf8(input: AsyncIterable<Uint8Array>): AsyncGenerator<Buffer> {
  const decoder = new TextDecoder('windows-1252')
  let lines = 0
  for await (const block of lineBlocks(input, () => lines)) {
    const valid = isUtf8(block)
    if (valid) yield block
    const parts: Buffer[] = []
    for (let start = 0; start < block.length; lines += 1) {
      const newline = block.indexOf(10, start)
      const end = newline < 0 ? block.length : newline + 1
      if (!valid) {
        const bytes = block.subarray(start, end)
        parts.push(isUtf8(bytes) ? bytes : Buffer.from(decoder.decode(bytes)))
      }
      start = end
    }
    if (!valid) yield Buffer.concat(parts)
  }
}
