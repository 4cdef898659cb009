import { parseCsv } from './csv-points.ts'
import { parseJson } from './json-points.ts'
import { parseNdjson } from './ndjson-points.ts'
import type { ParsedChunk, ParseOptions, PointFormat } from './parsed-points.ts'
import { asUtf8 } from './text-encoding.ts'

/**
 * Reads points from bytes as they come, in chunks; memory is bounded by the chunk, the longest line and the number of
 * series. What is wrong with a line refuses that line. Throws `too_large` beyond {@link INPUT_LIMITS}, and
 * `invalid_input` for CSV without a time or value column.
 */
export function parsePoints(
  format: PointFormat,
  input: AsyncIterable<Uint8Array>,
  options: ParseOptions = {},
): AsyncIterable<ParsedChunk> {
  const bytes = asUtf8(input)
  switch (format) {
    case 'ndjson':
      return parseNdjson(bytes, options)
    case 'json':
      return parseJson(bytes, options)
    case 'csv':
      return parseCsv(bytes, options)
  }
}
