import { spawn } from 'node:child_process'
import { cpSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { createMigratedDatabase } from '../support/nomaly.ts'
import type { StoreFixture } from '../store/store-fixture.ts'
import {
  DATASETS,
  DETECTORS,
  digest,
  hasSamples,
  METRICS,
  RESULTS,
  SAMPLES,
  writeSqlite,
} from './import-fixture.ts'

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
const RESULT_COUNT = 1_500
// Beyond one append, so that some kills fall between two.
const METRIC_ROWS = process.env['NOMALY_TEST_SCENARIOS'] === '1' ? 220_000 : 120_000
const POLL_MS = 5
const TIMEOUT_MS = 60_000

/** A folder that takes a moment to import: the samples where they are, and a database of its own. */
export function writeLargeSource(folder: string): void {
  mkdirSync(folder, { recursive: true })
  if (hasSamples) cpSync(SAMPLES, join(folder, 'samples'), { recursive: true })
  const id = (kind: number, at: number): string =>
    `${String(at).padStart(8, '0')}-000${kind}-4000-8000-000000000000`
  const time = (at: number): string =>
    `${new Date(Date.UTC(2025, 0, 1) + at * 1000).toISOString().slice(0, 19).replace('T', ' ')}.000${String(at % 1000).padStart(3, '0')}`
  const times = { created_at: time(0), updated_at: time(1) }
  writeSqlite(join(folder, 'large.db'), {
    datasets: {
      columns: DATASETS,
      rows: numbers(40, (at) => ({ id: id(1, at), name: `set ${at % 7}`, ...times })),
    },
    detectors: {
      columns: DETECTORS,
      rows: numbers(30, (at) => ({ id: id(2, at), algorithm: 'LOF', ...times })),
    },
    detection_results: {
      columns: RESULTS,
      rows: numbers(RESULT_COUNT, (at) => ({
        id: id(3, at),
        // One in eleven speaks of a detector that is not there.
        detector_id: id(2, at % 33),
        dataset_id: id(1, at % 40),
        scores: JSON.stringify(numbers(40, (row) => ((row * 7919 + at) % 1000) / 1000)),
        labels: JSON.stringify(numbers(40, (row) => ((row * 7919 + at) % 1000 > 900 ? 1 : 0))),
        created_at: time(at),
      })),
    },
    metrics: {
      columns: METRICS,
      rows: numbers(METRIC_ROWS, (at) => ({
        id: id(4, at),
        name: `metric_${at % 5}`,
        value: at % 977,
        tags: `{"host": "h${at % 20}"}`,
        // Some instants are there twice, with the same value or another one.
        timestamp: time(at % 1000 === 999 ? at - 20 : at),
      })),
    },
  })
}

function numbers<T>(count: number, make: (at: number) => T): T[] {
  return Array.from({ length: count }, (_, at) => make(at))
}

/** A database of its own that is imported into by processes of their own. */
export class KillableImport implements AsyncDisposable {
  readonly #source: string
  readonly #adminUrl: string
  readonly #databaseUrl: string
  readonly #folder: string
  readonly #drop: () => Promise<void>

  private constructor(
    source: string,
    folder: string,
    opened: Awaited<ReturnType<typeof createMigratedDatabase>>,
  ) {
    this.#source = source
    this.#folder = folder
    this.#adminUrl = opened.database.adminUrl
    this.#databaseUrl = opened.databaseUrl
    this.#drop = () => opened.database.drop()
  }

  static async open(source: string, folder: string): Promise<KillableImport> {
    const opened = new KillableImport(source, folder, await createMigratedDatabase())
    // The same in every database, so that what they hold can be compared.
    await opened.admin(
      `insert into nomaly.tenants (id, name) values ('0d000000-0000-4000-8000-000000000000', 'default')`,
    )
    return opened
  }

  /** Imports until `isDue` says so at a look at the rows that are dealt with, waits, and kills it; without it to the end. */
  async run(isDue?: (rows: number) => boolean, waitMs = 0): Promise<{ code: number | null; output: string }> {
    const child = spawn(process.execPath, [MAIN, 'import', 'pynomaly', this.#source, '-o', 'json'], {
      env: {
        PATH: process.env['PATH'],
        DATABASE_URL: this.#databaseUrl,
        NOMALY_DATA_DIR: this.#folder,
        TMPDIR: this.#folder,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const timer = setTimeout(() => child.kill('SIGKILL'), TIMEOUT_MS)
    try {
      let output = ''
      for (const stream of [child.stdout, child.stderr])
        stream.setEncoding('utf8').on('data', (text: string) => {
          output += text
        })
      const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
      if (isDue !== undefined) {
        while (child.exitCode === null && !isDue(await this.#rows())) await sleep(POLL_MS)
        await sleep(waitMs)
        child.kill('SIGKILL')
      }
      return { code: await ended, output }
    } finally {
      clearTimeout(timer)
      child.kill('SIGKILL')
    }
  }

  digest(): Promise<string> {
    return digest(this.admin)
  }

  readonly admin: StoreFixture['admin'] = async <Row extends pg.QueryResultRow>(
    text: string,
    values?: unknown[],
  ) => {
    const client = new pg.Client({ connectionString: this.#adminUrl })
    await client.connect()
    try {
      return (await client.query<Row>(text, values)).rows
    } finally {
      await client.end()
    }
  };

  [Symbol.asyncDispose](): Promise<void> {
    return this.#drop()
  }

  async #rows(): Promise<number> {
    const [row] = await this.admin<{ rows: number }>(
      `select coalesce(sum((tally ->> 'read')::int), 0)::int as rows from nomaly.import_places`,
    )
    return row!.rows
  }
}
