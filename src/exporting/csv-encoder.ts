import { POINT_TABLE_COLUMNS, POINT_TABLE_TAG, POINT_TABLE_TAGS } from '../ingestion/point-table.ts'
import { InstantText } from './instant-text.ts'
import type { PointEncoder, PointRun } from './point-encoder.ts'

/**
 * Points as a table of CSV (RFC 4180, lines end with a single LF), which is read back to the same points: a column for each tag, or,
 * where `tagNames` is `undefined`, one for all of them as JSON.
 */
export class CsvEncoder implements PointEncoder {
  readonly #time = new InstantText()
  readonly #tagNames: readonly string[] | undefined

  constructor(tagNames: readonly string[] | undefined) {
    this.#tagNames = tagNames
  }

  begin(): Uint8Array {
    const tags = this.#tagNames?.map((name) => POINT_TABLE_TAG + name) ?? [POINT_TABLE_TAGS]
    return Buffer.from(`${[...POINT_TABLE_COLUMNS, ...tags].map(csvCell).join(',')}\n`)
  }

  encode({ key, micros, values }: PointRun): Uint8Array {
    const before = `,${csvCell(key.metric)},`
    const tags = this.#tagNames?.map((name) => key.tags[name] ?? '') ?? [JSON.stringify(key.tags)]
    const after = `,${tags.map(csvCell).join(',')}\n`
    let text = ''
    for (let i = 0; i < micros.length; i++)
      text += this.#time.write(micros[i]!) + before + String(values[i]!) + after
    return Buffer.from(text)
  }

  end(): Uint8Array {
    return Buffer.alloc(0)
  }
}

function csvCell(text: string): string {
  return /[",\r\n]|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}
