import { createHash } from 'node:crypto'
import type { ParsedChunk } from '../ingestion/parsed-points.ts'
import { pointLines } from './point-slices.ts'

/** A numbered part of a file, as NDJSON for the API. */
export interface PointPart {
  /** From 1. */
  readonly number: number
  readonly body: Uint8Array
  /** SHA-256 of the body, in hexadecimal. */
  readonly digest: string
  /** Line of the file that each line of the body came from. */
  readonly lines: readonly number[]
}

/** Points of one part: it is read, stored and acknowledged whole. */
const PART_POINTS = 100_000
const PART_BYTES = 24 * 1_048_576

/** Cuts points into parts, always in the same places for the same file, however it is read. */
export async function* pointParts(
  chunks: AsyncIterable<ParsedChunk>,
  onChunk: (chunk: ParsedChunk) => void,
  maxPoints: number = PART_POINTS,
): AsyncGenerator<PointPart, void, void> {
  let number = 0
  let texts: string[] = []
  let lines: number[] = []
  let bytes = 0
  const part = (): PointPart => {
    const body = Buffer.from(texts.join(''))
    const digest = createHash('sha256').update(body).digest('hex')
    const made = { number: (number += 1), body, digest, lines }
    texts = []
    lines = []
    bytes = 0
    return made
  }
  for await (const chunk of chunks) {
    onChunk(chunk)
    let at = 0
    for (const line of pointLines(chunk.points)) {
      // Three bytes are the most a UTF-16 unit takes in UTF-8.
      if (texts.length === maxPoints || (texts.length > 0 && bytes + line.length * 3 > PART_BYTES))
        yield part()
      texts.push(line)
      lines.push(chunk.points.lines[at]!)
      bytes += line.length * 3
      at += 1
    }
  }
  if (texts.length > 0) yield part()
}
