import { NomalyError } from '../errors.ts'
import { INPUT_LIMITS } from './parsed-points.ts'

const NEWLINE = 10
const BLOCK_BYTES = 262_144

/** The error for one line, record or element beyond {@link INPUT_LIMITS.maxLineBytes}. */
export function lineTooLong(line: number, what: 'line' | 'element'): NomalyError {
  const field = `${what} ${line}`
  const reason = `longer than ${INPUT_LIMITS.maxLineBytes.toLocaleString('en')} bytes`
  return new NomalyError('too_large', `${field} is ${reason}.`, {
    hint: what === 'line' ? 'Write one point a line, with line ends.' : 'Write an array of small objects.',
    problems: [{ field, reason }],
  })
}

/**
 * Cuts bytes at line ends into blocks of whole lines, some 256 KB each; only the last may lack its line end.
 * Throws `too_large` for a line over the limit; `linesBefore` tells how many lines were already consumed.
 */
export async function* lineBlocks(
  input: AsyncIterable<Uint8Array>,
  linesBefore: () => number,
): AsyncGenerator<Buffer> {
  let parts: Buffer[] = []
  let partBytes = 0
  const tooLong = (): NomalyError => lineTooLong(linesBefore() + 1, 'line')
  for await (const bytes of input) {
    let rest = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    while (rest.length > 0) {
      let end =
        rest.length <= BLOCK_BYTES ? rest.lastIndexOf(NEWLINE) : rest.lastIndexOf(NEWLINE, BLOCK_BYTES - 1)
      if (end < 0 && rest.length > BLOCK_BYTES) end = rest.indexOf(NEWLINE, BLOCK_BYTES)
      if (partBytes > 0) {
        const first = rest.indexOf(NEWLINE)
        if (partBytes + (first < 0 ? rest.length : first) > INPUT_LIMITS.maxLineBytes) throw tooLong()
      }
      if (end < 0) {
        if (partBytes + rest.length > INPUT_LIMITS.maxLineBytes) throw tooLong()
        // A copy: the producer may use its buffer again.
        parts.push(Buffer.from(rest))
        partBytes += rest.length
        break
      }
      if (end > INPUT_LIMITS.maxLineBytes) throw tooLong()
      if (partBytes > 0) {
        // Only the line that was begun: the rest stays where it is.
        const first = rest.indexOf(NEWLINE)
        parts.push(rest.subarray(0, first + 1))
        yield Buffer.concat(parts)
        parts = []
        partBytes = 0
        rest = rest.subarray(first + 1)
        end -= first + 1
        if (end < 0) continue
      }
      yield rest.subarray(0, end + 1)
      rest = rest.subarray(end + 1)
    }
  }
  if (partBytes > 0) yield Buffer.concat(parts)
}
