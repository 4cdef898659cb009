import { setTimestamp } from './array-encoder.ts'
import { COPY_HEADER, COPY_TRAILER_BYTES, type PointRows } from './copy-encoder.ts'

/** Field count, and a length before each of the fields (8, 8, 4 and 4 bytes). */
const ROW_BYTES = 2 + 4 + 8 + 4 + 8 + 4 + 4 + 4 + 4

/** Encodes rows `start` to `end` as a whole binary COPY of (time timestamptz, value float8, series_id int4, part int4). */
export function encodeBackfillCopy(rows: PointRows, part: number, start: number, end: number): Buffer {
  const { ids, micros, values } = rows
  const buffer = Buffer.allocUnsafe(COPY_HEADER.length + (end - start) * ROW_BYTES + COPY_TRAILER_BYTES)
  COPY_HEADER.copy(buffer)
  const view = new DataView(buffer.buffer, buffer.byteOffset, buffer.length)
  let at = COPY_HEADER.length
  for (let i = start; i < end; i++, at += ROW_BYTES) {
    view.setInt16(at, 4)
    view.setInt32(at + 2, 8)
    setTimestamp(view, at + 6, micros[i]!)
    view.setInt32(at + 14, 8)
    view.setFloat64(at + 18, values[i]!)
    view.setInt32(at + 26, 4)
    view.setInt32(at + 30, ids[i]!)
    view.setInt32(at + 34, 4)
    view.setInt32(at + 38, part)
  }
  view.setInt16(at, -1)
  return buffer
}
