import { execFile } from 'node:child_process'
import { createReadStream } from 'node:fs'
import { open } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import { promisify } from 'node:util'
import pg from 'pg'
import { from as copyFrom } from 'pg-copy-streams'
import type { PointBatch } from '../../src/metrics/metrics-engine.ts'

/** What the limit is measured with: psql, or where it is missing the driver. */
export type RawLimit = 'psql \\copy' | 'COPY text through the driver'

/** Where points that are kept forever stand in plain PostgreSQL. */
const PARTITIONED_POINTS = 'metrics.points_forever'

/** The fastest a user could put points into the product's own table, by hand; and the table emptied between runs. */
export class RawCopy implements AsyncDisposable {
  readonly limit: RawLimit
  readonly #adminUrl: string
  readonly #admin: pg.Client
  readonly #file: string
  readonly #table: string

  private constructor(limit: RawLimit, adminUrl: string, admin: pg.Client, file: string, table: string) {
    this.#table = table
    this.limit = limit
    this.#adminUrl = adminUrl
    this.#admin = admin
    this.#file = file
  }

  /** Writes the points of `batches` to `file`, with `seriesIds` by index of their key, and connects as superuser. */
  static async prepare(
    adminUrl: string,
    file: string,
    batches: readonly PointBatch[],
    seriesIds: readonly number[],
    table: string = PARTITIONED_POINTS,
  ): Promise<RawCopy> {
    await writePoints(file, batches, seriesIds)
    const limit = await promisify(execFile)('psql', ['--version']).then(
      () => 'psql \\copy' as const,
      () => 'COPY text through the driver' as const,
    )
    const admin = new pg.Client({ connectionString: adminUrl })
    await admin.connect()
    return new RawCopy(limit, adminUrl, admin, file, table)
  }

  /** Copies all points in, in one transaction. */
  async copy(): Promise<void> {
    const into = `${this.#table} (time, series_id, value)`
    if (this.limit === 'psql \\copy')
      await promisify(execFile)('psql', ['-qX', '-c', `\\copy ${into} from '${this.#file}'`, this.#adminUrl])
    else await pipeline(createReadStream(this.#file), this.#admin.query(copyFrom(`copy ${into} from stdin`)))
  }

  /** Empties the table; its partitions and the series stay. */
  async reset(): Promise<void> {
    await this.#admin.query(`truncate ${this.#table}`)
    await this.#admin.query(`update metrics.latest_points set time = '-infinity', value = 'NaN'`)
    await this.#admin.query('vacuum (analyze) metrics.latest_points, metrics.series')
    await this.#admin.query('checkpoint')
  }

  /** @throws Error unless exactly so many points are stored. */
  async requireCount(points: number): Promise<void> {
    const { rows } = await this.#admin.query<{ count: string }>(`select count(*) from ${this.#table}`)
    if (Number(rows[0]!.count) !== points)
      throw new Error(
        `${rows[0]!.count} points are stored instead of ${points}: the measurement is worth nothing.`,
      )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#admin.end()
  }
}

async function writePoints(
  file: string,
  batches: readonly PointBatch[],
  ids: readonly number[],
): Promise<void> {
  const handle = await open(file, 'w')
  try {
    for (const { series, timesMs, values } of batches) {
      let text = ''
      for (let i = 0; i < series.length; i++)
        text += `${new Date(timesMs[i]!).toISOString()}\t${ids[series[i]!]}\t${values[i]}\n`
      await handle.write(text)
    }
  } finally {
    await handle.close()
  }
}
