import type { Config } from '../../config/profiles.ts'
import { Database } from '../../database/database.ts'
import { migrate } from '../../database/migrator.ts'
import type { RetentionClass } from '../../metrics/metrics-engine.ts'
import type { StoredRange } from '../../metrics/move-side.ts'
import { RETENTION_CLASSES } from '../../metrics/retention.ts'
import { openMoveSides } from '../../store/open-store.ts'
import { type EngineName, requireTimescale } from '../metrics-engine-choice.ts'
import { findDatabaseUrls } from '../connection-urls.ts'
import { metricsMigration, serverMigration } from '../open-instance.ts'
import { readState } from './move-lifecycle.ts'
import { cancelMove, moveMetrics, type MoveProgress, type MoveReport } from './move-metrics.ts'
import { countWindows } from './move-windows.ts'

export interface ClassStatus {
  readonly retention: RetentionClass
  /** Partitions or chunks. */
  readonly parts: number
  /** As the database estimates it. */
  readonly points: number
  /** Epoch milliseconds; `undefined` where nothing is stored. */
  readonly fromMs: number | undefined
  readonly toMs: number | undefined
}

export interface MetricsStatus {
  readonly engine: EngineName
  readonly movingTo: EngineName | undefined
  /** Of the move that is under way. */
  readonly windows: { readonly total: number; readonly copied: number; readonly verified: number }
  readonly classes: readonly ClassStatus[]
}

/** What an operator does with the metrics of an installation as a whole, while it runs. */
export interface Mover extends AsyncDisposable {
  /** As {@link moveMetrics}; makes the tables of the other engine first. */
  move(to: EngineName, signal: AbortSignal, progress?: (progress: MoveProgress) => void): Promise<MoveReport>
  cancel(): Promise<boolean>
  status(): Promise<MetricsStatus>
}

/** Connects to the database that has the metrics of an installation. */
export async function openMover(config: Config, log: (message: string) => void): Promise<Mover> {
  const { adminUrl, applicationUrl } = await findMetrics(config)
  const database = new Database({
    url: applicationUrl,
    directUrl:
      config.metricsDatabaseUrl === undefined ? config.directDatabaseUrl : config.metricsDirectDatabaseUrl,
    applicationName: 'nomaly metrics move',
    budget: 'maintenance',
    maxConnections: 8,
    acquireTimeoutMs: config.acquireTimeoutMs,
    statementTimeoutMs: config.statementTimeoutMs,
    commitTimeoutMs: config.commitTimeoutMs,
    log,
  })
  const sides = openMoveSides(database, Date.now)
  return {
    async move(to, signal, progress) {
      if (to === 'timescale') {
        await requireTimescale(adminUrl)
        const own = metricsMigration(config)
        const core =
          config.databaseUrl === undefined
            ? { adminUrl }
            : serverMigration(config.databaseUrl, config.adminDatabaseUrl ?? config.directDatabaseUrl)
        await migrate({ ...(own ?? core), sets: ['metrics-partitioned', 'metrics-timescale'] })
      }
      return moveMetrics({ database, sides, to, clock: Date.now, signal, ...(progress && { progress }) })
    },
    cancel: () => cancelMove({ database, sides }),
    async status() {
      const { name, movingTo } = await readState(database)
      const classes = await database.read(
        { role: 'nomaly_system', freshness: 'latest' },
        async (connection) => {
          const found: ClassStatus[] = []
          for (const retention of RETENTION_CLASSES)
            found.push(summarise(retention, await sides[name].ranges(connection, retention)))
          return found
        },
      )
      return { engine: name, movingTo, windows: await countWindows(database), classes }
    },
    [Symbol.asyncDispose]: () => database[Symbol.asyncDispose](),
  }
}

async function findMetrics(config: Config): Promise<{ adminUrl: string; applicationUrl: string }> {
  const { metricsDatabaseUrl, metricsAdminDatabaseUrl, metricsDirectDatabaseUrl } = config
  if (metricsDatabaseUrl === undefined) return findDatabaseUrls(config)
  const adminUrl = metricsAdminDatabaseUrl ?? metricsDirectDatabaseUrl ?? metricsDatabaseUrl
  return { adminUrl, applicationUrl: metricsDatabaseUrl }
}

function summarise(retention: RetentionClass, ranges: readonly StoredRange[]): ClassStatus {
  return {
    retention,
    parts: ranges.length,
    points: Math.round(ranges.reduce((sum, { points }) => sum + points, 0)),
    fromMs: toMs(ranges.at(0)?.lowerMicros),
    toMs: toMs(ranges.at(-1)?.upperMicros),
  }
}

function toMs(micros: number | undefined): number | undefined {
  return micros === undefined ? undefined : micros / 1000
}
