import { POSTGRES_EPOCH_MICROS } from './array-encoder.ts'

const HEADER_BYTES = 19
const ROW_BYTES = 2 + 4 + 4 + 4 + 8 + 4 + 8
const TWO_32 = 2 ** 32

/** Columns of (number, time, value), as many of each as there are rows. */
export interface DecodedRows {
  readonly numbers: Int32Array
  /** Epoch milliseconds, microseconds as the fraction. */
  readonly timesMs: Float64Array
  readonly values: Float64Array
}

/**
 * Decodes a whole binary COPY of (int4, timestamptz, float8) without nulls into columns: several times as fast as rows of
 * objects.
 * @throws Error when the bytes are anything else.
 */
export function decodeCopy(bytes: Buffer): DecodedRows {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const count = (bytes.length - HEADER_BYTES - 2) / ROW_BYTES
  if (!Number.isInteger(count) || bytes.toString('latin1', 0, 6) !== 'PGCOPY' || view.getInt32(15) !== 0)
    throw new Error('The database sent a binary COPY of another shape than asked for.')
  const numbers = new Int32Array(count)
  const timesMs = new Float64Array(count)
  const values = new Float64Array(count)
  for (let i = 0, at = HEADER_BYTES; i < count; i++, at += ROW_BYTES) {
    numbers[i] = view.getInt32(at + 6)
    timesMs[i] = readTimestampMs(view, at + 14)
    values[i] = view.getFloat64(at + 26)
  }
  return { numbers, timesMs, values }
}

/** Reads an instant that PostgreSQL sent in binary, in epoch milliseconds, microseconds as the fraction. */
export function readTimestampMs(view: DataView, at: number): number {
  // Exact: both halves and their sum are integers below 2^53.
  return (view.getInt32(at) * TWO_32 + view.getUint32(at + 4) + POSTGRES_EPOCH_MICROS) / 1000
}
