import { join } from 'node:path'
import { loadConfig } from '../src/config/load.ts'
import { canonicalKey } from '../src/metrics/series-key.ts'
import { importPynomaly } from '../src/operations/import/import-pynomaly.ts'
import { derivedId } from '../src/operations/import/source-id.ts'
import { MIGRATION_SETS } from '../src/operations/open-instance.ts'
import { openStore } from '../src/store/open-store.ts'
import type { Store } from '../src/store/store.ts'
import type { Benchmark } from './benchmark.ts'
import { atLeast, median, reported } from './checks.ts'
import { metricPoints, writeMetricsSource } from './import/metrics-source.ts'
import { RawCopy } from './ingest/raw-copy.ts'
import { BenchServer } from './metrics/bench-server.ts'

const SIZES = { full: { rows: 1_000_000, runs: 5 }, quick: { rows: 200_000, runs: 3 } }

/** What one import took, in milliseconds. */
interface ImportTimes {
  /** From the call until every row is stored: opening, checking and hashing the file, reading it, and all commits. */
  readonly importedMs: number
  /** The same, and the comparison of source and target after it. */
  readonly comparedMs: number
}

/** How fast metrics of the original come in, beside what PostgreSQL takes of the same points. */
export const importing: Benchmark = {
  summary: 'metrics of a SQLite file, as ratios to a raw COPY of the same points into the same table',
  async run({ quick, directory, databaseUrl, signal, log }) {
    const { rows, runs } = quick ? SIZES.quick : SIZES.full
    await using server = await BenchServer.open({ url: databaseUrl, directory, signal, log })
    const { adminUrl, applicationUrl } = await server.createDatabase('import', { sets: MIGRATION_SETS })
    const config = loadConfig({ NOMALY_DATA_DIR: directory })
    await using store = await openStore(config, applicationUrl, log)
    const path = join(directory, 'pynomaly.db')
    writeMetricsSource(path, rows)
    // Makes series and partitions, which both sides then find.
    await timeImport(store, path, signal)
    const raw = await prepareCopy(store, adminUrl, join(directory, 'metrics.tsv'), rows)
    await using _ = raw
    const copied: number[] = []
    const times: ImportTimes[] = []
    for (let run = 1; run <= runs; run++) {
      signal.throwIfAborted()
      await raw.reset()
      const startedAt = performance.now()
      await raw.copy()
      copied.push(performance.now() - startedAt)
      await raw.requireCount(rows)
      await raw.reset()
      times.push(await timeImport(store, path, signal))
      await raw.requireCount(rows)
      log(
        `run ${run}: ${raw.limit} ${Math.round(copied.at(-1)!)} ms, import ${Math.round(times.at(-1)!.importedMs)} ms, compared after ${Math.round(times.at(-1)!.comparedMs)} ms`,
      )
    }
    const rate = (ms: readonly number[]): number => rows / median(ms)
    const ratio = (of: (one: ImportTimes) => number): number =>
      median(times.map((one, run) => copied[run]! / of(one)))
    const checks = [
      reported(`${raw.limit}, the limit of the database`, rate(copied), 'k rows/s'),
      reported('import until every row is stored', rate(times.map((one) => one.importedMs)), 'k rows/s'),
      reported('import with the comparison after it', rate(times.map((one) => one.comparedMs)), 'k rows/s'),
      atLeast(
        `import to ${raw.limit}`,
        ratio((one) => one.importedMs),
        'ratio',
        0.4,
      ),
      reported(
        `import with the comparison to ${raw.limit}`,
        ratio((one) => one.comparedMs),
        'ratio',
      ),
    ]
    return { checks, versions: server.versions }
  },
}

async function timeImport(store: Store, path: string, signal: AbortSignal): Promise<ImportTimes> {
  const startedAt = performance.now()
  let importedMs = Number.NaN
  const report = await importPynomaly(store, {
    path,
    tenant: undefined,
    zone: undefined,
    systemZone: 'UTC',
    dryRun: false,
    again: true,
    actor: 'operator:bench',
    clock: Date.now,
    signal,
    onProgress: ({ phase }) => {
      if (phase === 'comparing') importedMs = performance.now() - startedAt
    },
  })
  if (!report.isRight) throw new Error('The import is not right: the measurement is worth nothing.')
  return { importedMs, comparedMs: performance.now() - startedAt }
}

async function prepareCopy(store: Store, adminUrl: string, file: string, rows: number): Promise<RawCopy> {
  const [tenant] = await store.tenants.list()
  const scope = { tenantId: tenant!.id }
  const source = { kind: 'dataset', id: derivedId('metrics', tenant!.id), retention: 'forever' } as const
  const points = metricPoints(rows, source)
  const series = await store.metrics.listSeries(scope, { sourceId: source.id, limit: 10_000 })
  const ids = new Map(series.map((one) => [canonicalKey(one), one.id]))
  return RawCopy.prepare(
    adminUrl,
    file,
    [points],
    points.keys.map((key) => ids.get(canonicalKey(key))!),
  )
}
