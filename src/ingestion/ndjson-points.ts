import { isUtf8 } from 'node:buffer'
import { lineBlocks } from './line-blocks.ts'
import type { ParsedChunk, ParseOptions } from './parsed-points.ts'
import { PointCollector } from './point-collector.ts'
import { withPauses } from './with-pauses.ts'

// A string that does not end is taken to the end of the text: otherwise each quote in it would be tried again.
const STRING_OR_BARE_WORD = /"(?:[^"\\]|\\[^])*(?:"|\\?$)|-?\b(?:Infinity|NaN)\b/g
const OBJECT_OPEN = 0x7b
const LONGEST_LOOSE = 65_536

/** Points of newline-delimited JSON, in chunks; see {@link parsePoints}. */
export async function* parseNdjson(
  input: AsyncIterable<Uint8Array>,
  options: ParseOptions,
): AsyncGenerator<ParsedChunk> {
  const collector = new PointCollector(options)
  let line = 0
  for await (const block of withPauses(
    lineBlocks(input, () => line),
    options.flushAfterMs,
  )) {
    if (block === undefined) {
      if (collector.pending) yield collector.take()
      continue
    }
    const text = block.toString('utf8')
    const clean = isUtf8(block)
    let byte = 0
    for (let start = 0; start < text.length;) {
      const newline = text.indexOf('\n', start)
      const end = newline < 0 ? text.length : newline
      line += 1
      if (clean) {
        addLine(collector, text.slice(start, end), line)
      } else {
        const byteNewline = block.indexOf(10, byte)
        const bytes = block.subarray(byte, byteNewline < 0 ? block.length : byteNewline)
        byte += bytes.length + 1
        if (isUtf8(bytes)) addLine(collector, text.slice(start, end), line)
        else collector.reject(line, 'point: not valid UTF-8')
      }
      start = end + 1
      if (collector.full) yield collector.take()
    }
  }
  if (collector.pending) yield collector.take()
}

function addLine(collector: PointCollector, text: string, line: number): void {
  if (text.charCodeAt(0) !== OBJECT_OPEN && text.trim() === '') return
  addText(collector, text, line)
}

/** Adds the point that a text is, or refuses it. */
export function addText(collector: PointCollector, text: string, line: number): void {
  let record: unknown
  try {
    record = JSON.parse(text)
  } catch (error) {
    record = parseLoosely(text)
    if (record === undefined) {
      collector.rejectBroken(line, error)
      return
    }
  }
  collector.addRecord(record, line)
}

/** JSON with the bare words NaN and Infinity, which Python writes; undefined when it is no such thing either. */
function parseLoosely(text: string): unknown {
  if (text.length > LONGEST_LOOSE || !/NaN|Infinity/.test(text)) return undefined
  const quoted = text.replaceAll(STRING_OR_BARE_WORD, (token) =>
    token.startsWith('"') ? token : `"${token}"`,
  )
  try {
    return JSON.parse(quoted)
  } catch {
    return undefined
  }
}
