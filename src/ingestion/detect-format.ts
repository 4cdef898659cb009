import type { PointFormat } from './parsed-points.ts'

/** Bytes worth giving to {@link detectFormat}. */
export const FORMAT_SAMPLE_BYTES = 65_536

/** Tells from the first bytes of an input (decompressed) which format it has: JSON and NDJSON by their brackets, else CSV. */
export function detectFormat(head: Uint8Array): PointFormat {
  const text = Buffer.from(head.buffer, head.byteOffset, Math.min(head.byteLength, FORMAT_SAMPLE_BYTES))
    .toString('utf8')
    .replace(/^\ufeff/, '')
    .trimStart()
  if (/^\[\s*(?:[{\]]|$)/.test(text)) return 'json'
  if (!text.startsWith('{')) return 'csv'
  const line = text.split('\n', 1)[0]!
  try {
    const first = JSON.parse(line) as Record<string, unknown>
    return Array.isArray(first['points']) ? 'json' : 'ndjson'
  } catch {
    // An object over several lines, or a damaged or very long first line of NDJSON: only the former breaks after a brace or comma.
    return /[{[,:]\s*$/.test(line) ? 'json' : 'ndjson'
  }
}
