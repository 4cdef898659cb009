import { createHash } from 'node:crypto'
import { Database } from '../../src/database/database.ts'
import type { Backfill, BackfillPart } from '../../src/metrics/backfill.ts'
import { BackfillMerger, type MergeStorage } from '../../src/metrics/backfill-merge.ts'
import { Backfills } from '../../src/metrics/backfills.ts'
import type { PointBatch } from '../../src/metrics/metrics-engine.ts'
import { METRICS_RELATIONS } from '../../src/metrics/metrics-relations.ts'
import { Partitions } from '../../src/metrics/partitions.ts'
import { timescaleMergeStorage } from '../../src/metrics/timescale-backfill.ts'
import { TimescaleChunks } from '../../src/metrics/timescale-chunks.ts'
import { TIMESCALE_RELATIONS } from '../../src/metrics/timescale-relations.ts'
import { PausingDatabase, type Pause } from '../conformance/pausing-database.ts'

/** The two sides of backfills, on a pool of their own. */
export interface BackfillDesk extends AsyncDisposable {
  readonly database: Database
  readonly backfills: Backfills
  readonly merger: BackfillMerger
}

export interface DeskOptions {
  readonly adminUrl: string
  readonly engine: 'timescale' | 'partitioned'
  readonly clock: () => number
  /** Called before each statement. */
  readonly pause?: Pause
}

export function openDesk({ adminUrl, engine, clock, pause }: DeskOptions): BackfillDesk {
  const url = new URL(adminUrl)
  url.username = 'nomaly_metrics_test'
  url.password = 'metrics-test'
  const options = {
    url: url.href,
    applicationName: 'backfills',
    maxConnections: 4,
    acquireTimeoutMs: 20_000,
    statementTimeoutMs: 30_000,
    commitTimeoutMs: 10_000,
    log: () => {},
  }
  const database = pause === undefined ? new Database(options) : new PausingDatabase(options, pause)
  const relations = engine === 'timescale' ? TIMESCALE_RELATIONS : METRICS_RELATIONS
  const storage: MergeStorage =
    engine === 'timescale'
      ? timescaleMergeStorage(database, new TimescaleChunks(database), clock)
      : new Partitions(database)
  return {
    database,
    backfills: new Backfills({ database, clock }),
    merger: new BackfillMerger({ database, relations, storage, clock, log: () => {} }),
    [Symbol.asyncDispose]: () => database[Symbol.asyncDispose](),
  }
}

/** A part of these points; its digest is that of `content`. */
export function toPart(
  number: number,
  batch: Omit<PointBatch, 'source'>,
  content = `${number}`,
): BackfillPart {
  const { keys, series, timesMs, values } = batch
  return {
    number,
    digest: createHash('sha256').update(content).digest(),
    keys,
    series,
    timesMs,
    values,
    lines: Uint32Array.from(series, (_, i) => i + 1),
    rejected: [],
    rejectedTotal: 0,
  }
}

/** Merges a finished backfill to its end. */
export async function mergeAll(desk: BackfillDesk, tenantId: string, id: string): Promise<Backfill> {
  for (;;) {
    const { outcome } = await desk.merger.step({ tenantId }, id)
    if (outcome !== 'merged') return desk.backfills.get({ tenantId }, id)
  }
}

/** Sends parts, finishes and merges. */
export async function backfillAll(
  desk: BackfillDesk,
  tenantId: string,
  source: PointBatch['source'],
  batches: readonly Omit<PointBatch, 'source'>[],
): Promise<Backfill> {
  const { value } = await desk.backfills.create({ tenantId }, source)
  for (const [index, batch] of batches.entries())
    await desk.backfills.receive({ tenantId }, value.id, toPart(index + 1, batch))
  await desk.backfills.finish({ tenantId }, value.id, batches.length)
  return mergeAll(desk, tenantId, value.id)
}
