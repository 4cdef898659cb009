import { setTimestamp } from './array-encoder.ts'

/** `PGCOPY`, flags and extension length: "Binary Format" of the COPY page in PostgreSQL's manual. */
export const COPY_HEADER = Buffer.from('PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0', 'latin1')
/** What follows the last row. */
export const COPY_TRAILER_BYTES = 2

/** Field count, and a length before each of the fields (8, 4 and 8 bytes). */
const ROW_BYTES = 2 + 4 + 8 + 4 + 4 + 4 + 8

/** Rows whose constant bytes are filled in; copied, because writing them anew costs half of the encoding. */
const TEMPLATE_ROWS = 1024
const TEMPLATE = makeTemplate()

/** Points as columns, in the order in which they are written. */
export interface PointRows {
  readonly ids: Int32Array
  /** Epoch microseconds. */
  readonly micros: Float64Array
  readonly values: Float64Array
}

/** Encodes rows `start` to `end` as a whole binary COPY of (time timestamptz, series_id int4, value float8). */
export function encodeCopy(rows: PointRows, start: number, end: number): Buffer {
  const { ids, micros, values } = rows
  const buffer = Buffer.allocUnsafe(COPY_HEADER.length + (end - start) * ROW_BYTES + COPY_TRAILER_BYTES)
  COPY_HEADER.copy(buffer)
  const rowsEnd = buffer.length - COPY_TRAILER_BYTES
  for (let at = COPY_HEADER.length; at < rowsEnd; at += TEMPLATE.length)
    TEMPLATE.copy(buffer, at, 0, Math.min(TEMPLATE.length, rowsEnd - at))
  const view = new DataView(buffer.buffer, buffer.byteOffset, buffer.length)
  for (let i = start, at = COPY_HEADER.length; i < end; i++, at += ROW_BYTES) {
    setTimestamp(view, at + 6, micros[i]!)
    view.setInt32(at + 18, ids[i]!)
    view.setFloat64(at + 26, values[i]!)
  }
  view.setInt16(rowsEnd, -1)
  return buffer
}

function makeTemplate(): Buffer {
  const template = Buffer.alloc(TEMPLATE_ROWS * ROW_BYTES)
  for (let at = 0; at < template.length; at += ROW_BYTES) {
    template.writeInt16BE(3, at)
    template.writeInt32BE(8, at + 2)
    template.writeInt32BE(4, at + 14)
    template.writeInt32BE(8, at + 22)
  }
  return template
}
