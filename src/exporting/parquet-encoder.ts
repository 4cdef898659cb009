import { ByteWriter, ParquetWriter, type SchemaElement } from 'hyparquet-writer'
import type { PointEncoder, PointRun } from './point-encoder.ts'

/** Rows of one row group: what is held in memory. */
export const ROW_GROUP_ROWS = 65_536

const SCHEMA: SchemaElement[] = [
  { name: 'points', num_children: 4 },
  {
    name: 'time',
    type: 'INT64',
    converted_type: 'TIMESTAMP_MICROS',
    logical_type: { type: 'TIMESTAMP', isAdjustedToUTC: true, unit: 'MICROS' },
    repetition_type: 'REQUIRED',
  },
  { name: 'metric', type: 'BYTE_ARRAY', converted_type: 'UTF8', repetition_type: 'REQUIRED' },
  { name: 'tags', type: 'BYTE_ARRAY', converted_type: 'JSON', repetition_type: 'REQUIRED' },
  { name: 'value', type: 'DOUBLE', repetition_type: 'REQUIRED' },
]

/** Points as a Parquet file: time (microseconds, UTC), metric, tags (JSON) and value, in row groups of equal size. */
export class ParquetEncoder implements PointEncoder {
  readonly #bytes = new ByteWriter()
  readonly #writer = new ParquetWriter({ writer: this.#bytes, schema: SCHEMA, createdBy: 'nomaly' })
  readonly #times = new BigInt64Array(ROW_GROUP_ROWS)
  readonly #values = new Float64Array(ROW_GROUP_ROWS)
  #metrics: string[] = []
  #tags: object[] = []

  begin(): Uint8Array {
    return this.#take()
  }

  encode({ key, micros, values }: PointRun): Uint8Array {
    for (let i = 0; i < micros.length; i++) {
      const row = this.#metrics.length
      this.#times[row] = BigInt(micros[i]!)
      this.#values[row] = values[i]!
      this.#metrics.push(key.metric)
      this.#tags.push(key.tags)
      if (row + 1 === ROW_GROUP_ROWS) this.#writeGroup()
    }
    return this.#take()
  }

  end(): Uint8Array {
    if (this.#metrics.length > 0) this.#writeGroup()
    void this.#writer.finish()
    return this.#take()
  }

  #writeGroup(): void {
    const rows = this.#metrics.length
    // Whatever has no `flush` is written at once.
    void this.#writer.write({
      columnData: [
        {
          name: 'time',
          data: this.#times.slice(0, rows),
          encoding: 'DELTA_BINARY_PACKED',
          offsetIndex: false,
        },
        { name: 'metric', data: this.#metrics, offsetIndex: false },
        { name: 'tags', data: this.#tags, offsetIndex: false, statistics: false },
        // NaN has no place among minimum and maximum.
        { name: 'value', data: this.#values.slice(0, rows), offsetIndex: false, statistics: false },
      ],
      rowGroupSize: rows,
    })
    this.#metrics = []
    this.#tags = []
  }

  /** The bytes since the last call; offsets in the file go on counting. */
  #take(): Uint8Array {
    const bytes = this.#bytes.getBytes().slice()
    this.#bytes.index = 0
    return bytes
  }
}
