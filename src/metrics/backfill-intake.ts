import type { TenantScope } from '../access/tenant-scope.ts'
import type { Connection } from '../database/connection.ts'
import { NomalyError } from '../errors.ts'
import type { RejectedLine } from '../ingestion/parsed-points.ts'
import type { Backfill, BackfillPart, BackfillPartReport } from './backfill.ts'
import { encodeBackfillCopy } from './backfill-copy.ts'
import { backfillNotFound, findBackfill, findPart, pointsTable } from './backfill-rows.ts'
import { copyIn } from './copy-transfer.ts'
import { createLatest } from './latest-points.ts'
import type { RejectedPoint, SeriesSource } from './metrics-engine.ts'
import { PartitionMap } from './partition-map.ts'
import { type OrderedPoints, orderPoints } from './point-order.ts'
import { validatePoints } from './point-validation.ts'
import { DAY_MS, RETENTION_CLASSES, retentionCutoffMs } from './retention.ts'
import { DAY_MICROS } from './roll-up-ledger.ts'
import type { ResolvedSeries, SeriesCatalog } from './series-catalog.ts'
import { lockSourceForWriting } from './source-lock.ts'

/** Rows of one COPY. */
const COPY_ROWS = 50_000

/** Beyond so many days points are not kept together by day: hardly two of them would be. */
const MOST_DAYS = 2_000

const LISTED = 100

export interface Intake {
  readonly catalog: SeriesCatalog
  readonly nowMs: number
  readonly requireSource: ((connection: Connection, source: SeriesSource) => Promise<void>) | undefined
}

export interface ReceivedPart {
  readonly report: BackfillPartReport
  /** To be remembered when this is committed. */
  readonly resolved?: ResolvedSeries
}

/**
 * Stores a part, as the tenant; one that has come already is left as it is, and answers the same.
 * @throws NomalyError `not_found`; `conflict` where another part of that number has come, or no more are taken.
 */
export async function receivePart(
  connection: Connection,
  scope: TenantScope,
  intake: Intake,
  id: string,
  part: BackfillPart,
): Promise<ReceivedPart> {
  const known = await findBackfill(connection, id)
  if (known === undefined) throw backfillNotFound(id)
  const before = await findPart(connection, id, part.number)
  if (before !== undefined) return { report: requireSame(before, part) }
  await lockSourceForWriting(connection, known.source.id, 'shared')
  await intake.requireSource?.(connection, known.source)
  const backfill = await lockReceiving(connection, id)
  const { points, resolved, report } = await resolve(connection, scope, intake, known.source, part)
  await connection.become('nomaly_system')
  await createLatest(connection, resolved.created)
  const added = await connection.query(
    `insert into metrics.backfill_parts
       (backfill_id, number, tenant_id, digest, points, duplicates, conflicting, rejected, rejected_total)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict do nothing returning 1 as one`,
    [
      id,
      part.number,
      scope.tenantId,
      Buffer.from(part.digest),
      report.points,
      points.duplicates,
      points.conflicting,
      JSON.stringify(report.rejected),
      report.rejectedTotal,
    ],
  )
  // The same part came at the same time, and was quicker.
  if (added.length === 0) return { report: requireSame((await findPart(connection, id, part.number))!, part) }
  const copy = `copy ${pointsTable(backfill.number)} (time, value, series_id, part) from stdin binary`
  for (let start = 0; start < points.count; start += COPY_ROWS) {
    const end = Math.min(points.count, start + COPY_ROWS)
    await copyIn(connection, copy, encodeBackfillCopy(points, part.number, start, end))
  }
  return { report, resolved }
}

function requireSame(before: BackfillPartReport, part: BackfillPart): BackfillPartReport {
  if (before.digest === Buffer.from(part.digest).toString('hex')) return before
  throw new NomalyError('conflict', `Part ${part.number} has come already, with other content.`, {
    hint: 'A part may be sent again only as it was: start another backfill for data that changed.',
  })
}

/** Keeps a backfill from being finished or cancelled while a part of it comes. */
async function lockReceiving(connection: Connection, id: string): Promise<{ readonly number: string }> {
  const [row] = await connection.query<{ number: string; status: Backfill['status'] }>(
    'select number, status from metrics.backfills where id = $1 for share',
    [id],
  )
  if (row === undefined) throw backfillNotFound(id)
  if (row.status !== 'receiving')
    throw new NomalyError('conflict', `The backfill takes no more parts: it is ${row.status}.`, {
      hint: 'Start another one for more points.',
    })
  return row
}

/** Validates, names and orders the points of a part as an append of them would. */
async function resolve(
  connection: Connection,
  scope: TenantScope,
  { catalog, nowMs }: Intake,
  source: SeriesSource,
  part: BackfillPart,
): Promise<{ points: OrderedPoints; resolved: ResolvedSeries; report: BackfillPartReport }> {
  const batch = { source, ...part }
  const cutoffMs = retentionCutoffMs(source.retention, nowMs)
  let sound = validatePoints(batch, () => cutoffMs)
  const resolved = await catalog.resolve(connection, scope, source, part.keys, sound.keyUsed)
  const { byKey } = resolved
  if (byKey.some((known) => known !== undefined && known.retention !== source.retention))
    sound = validatePoints(batch, (index) =>
      Math.max(cutoffMs, retentionCutoffMs(byKey[index]?.retention ?? source.retention, nowMs)),
    )
  const points = orderPoints(sound, byKey, daysOf(sound.micros.subarray(0, sound.count)), 'first')
  const report = {
    number: part.number,
    digest: Buffer.from(part.digest).toString('hex'),
    points: sound.count,
    rejected: joinRejected(part, sound.rejected),
    rejectedTotal: part.rejectedTotal + sound.rejectedTotal,
  }
  return { points, resolved, report }
}

function joinRejected(part: BackfillPart, refused: readonly RejectedPoint[]): readonly RejectedLine[] {
  const lines = refused.map(({ index, reason }) => ({ line: part.lines[index]!, reason }))
  return [...part.rejected, ...lines].toSorted((a, b) => a.line - b.line).slice(0, LISTED)
}

/** Days as partitions, so that points of one day lie together, whatever order they came in: windows are read by time. */
function daysOf(micros: Float64Array): PartitionMap {
  const days = new Set<number>()
  for (const instant of micros) {
    days.add(instant - (instant % DAY_MICROS))
    if (days.size > MOST_DAYS) break
  }
  const map = new PartitionMap()
  const all = { lowerMicros: Number.NEGATIVE_INFINITY, upperMicros: Number.POSITIVE_INFINITY }
  const ranges =
    days.size > MOST_DAYS
      ? [all]
      : Array.from(days, (day) => ({ lowerMicros: day, upperMicros: day + DAY_MS * 1000 }))
  for (const retention of RETENTION_CLASSES) for (const range of ranges) map.add(retention, range)
  return map
}
