/** PostgreSQL counts microseconds from 2000-01-01; this is that instant in epoch microseconds. */
export const POSTGRES_EPOCH_MICROS = 946_684_800_000_000

const TWO_32 = 2 ** 32

// Object ids of the element types: pg_type.dat in PostgreSQL's sources.
const INT4_OID = 23
const FLOAT8_OID = 701
const TIMESTAMPTZ_OID = 1184

/** An `int4[]` in PostgreSQL's binary form, for use as a parameter. */
export function int4Array(values: Int32Array): Buffer {
  const { buffer, view } = emptyArray(INT4_OID, values.length, 4)
  for (let i = 0, at = HEADER_BYTES + 4; i < values.length; i++, at += 8) view.setInt32(at, values[i]!)
  return buffer
}

/** A `float8[]` in PostgreSQL's binary form, for use as a parameter. */
export function float8Array(values: Float64Array): Buffer {
  const { buffer, view } = emptyArray(FLOAT8_OID, values.length, 8)
  for (let i = 0, at = HEADER_BYTES + 4; i < values.length; i++, at += 12) view.setFloat64(at, values[i]!)
  return buffer
}

/** A `timestamptz[]` in PostgreSQL's binary form, from epoch microseconds. */
export function timestampArray(micros: Float64Array): Buffer {
  const { buffer, view } = emptyArray(TIMESTAMPTZ_OID, micros.length, 8)
  for (let i = 0, at = HEADER_BYTES + 4; i < micros.length; i++, at += 12) setTimestamp(view, at, micros[i]!)
  return buffer
}

/** Writes an instant, given in epoch microseconds, as the 64-bit integer that PostgreSQL sends and receives. */
export function setTimestamp(view: DataView, at: number, micros: number): void {
  const sincePostgresEpoch = micros - POSTGRES_EPOCH_MICROS
  const high = Math.floor(sincePostgresEpoch / TWO_32)
  view.setInt32(at, high)
  view.setUint32(at + 4, sincePostgresEpoch - high * TWO_32)
}

const HEADER_BYTES = 20

/** An array of one dimension whose elements have their length, but not their bytes, filled in: `array_recv` in arrayfuncs.c. */
function emptyArray(
  elementOid: number,
  length: number,
  elementBytes: number,
): { buffer: Buffer; view: DataView } {
  const buffer = Buffer.allocUnsafe(HEADER_BYTES + length * (4 + elementBytes))
  const view = new DataView(buffer.buffer, buffer.byteOffset, buffer.length)
  // An empty array has no dimension.
  view.setInt32(0, length === 0 ? 0 : 1)
  view.setInt32(4, 0)
  view.setInt32(8, elementOid)
  if (length === 0) return { buffer: buffer.subarray(0, 12), view }
  view.setInt32(12, length)
  view.setInt32(16, 1)
  for (let at = HEADER_BYTES; at < buffer.length; at += 4 + elementBytes) view.setInt32(at, elementBytes)
  return { buffer, view }
}
