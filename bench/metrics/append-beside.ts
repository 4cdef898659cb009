import { randomUUID } from 'node:crypto'
import { type AppendRates, measureAppend } from '../ingest/append-rate.ts'
import type { BenchDatabase } from './bench-server.ts'
import { type EngineKind, openDatabase } from './engine-side.ts'

export interface AppendBesideOptions {
  readonly points: number
  readonly runs: number
  readonly directory: string
  readonly log: (message: string) => void
  readonly neighbour: () => Promise<number>
}

/** `append` of an engine in this process, on an empty migrated database, beside a raw copy into the same table. */
export async function appendBeside(
  kind: EngineKind,
  { adminUrl, applicationUrl }: BenchDatabase,
  options: AppendBesideOptions,
): Promise<AppendRates> {
  await using database = openDatabase(applicationUrl)
  return await measureAppend({
    ...options,
    pointsPerBatch: 10_000,
    series: 1_000,
    engine: kind.open(database, Date.now),
    scope: { tenantId: randomUUID() },
    source: { kind: 'dataset', id: randomUUID(), retention: 'forever' },
    adminUrl,
    pointsTable: kind.pointsTable,
    log: (message) => options.log(`${kind.name}: ${message}`),
  })
}
