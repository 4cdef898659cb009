import type { Connection } from '../database/connection.ts'
import { type Page, type PageRequest, cursorKey, decodeCursor, toPage } from '../database/paging.ts'
import { NomalyError } from '../errors.ts'
import type { RejectedLine } from '../ingestion/parsed-points.ts'
import type { Backfill, BackfillPartReport } from './backfill.ts'
import type { SeriesSource } from './metrics-engine.ts'

interface BackfillRow {
  readonly [column: string]: unknown
  readonly number: string
  readonly id: string
  readonly source_kind: SeriesSource['kind']
  readonly source_id: string
  readonly retention: SeriesSource['retention']
  readonly status: Backfill['status']
  readonly parts_total: number | null
  readonly error: string | null
  readonly hint: string | null
  readonly created_at: Date
  readonly ended_at: Date | null
  readonly parts: number
  readonly points: number
  readonly repeated: number
  readonly conflicted: number
  readonly rejected_total: number
  readonly windows: number | null
  readonly done: number
  readonly inserted: number
  readonly duplicates: number
  readonly conflicting: number
  readonly expired: number
}

interface PartRow {
  readonly [column: string]: unknown
  readonly number: number
  readonly digest: string
  readonly points: number
  readonly rejected: readonly RejectedLine[]
  readonly rejected_total: number
}

const SELECT_BACKFILLS = `select b.*, p.*, w.done, w.inserted, w.duplicates, w.conflicting, w.expired,
    case when b.planned_at is not null then w.windows end as windows
  from metrics.backfills b
  cross join lateral (
    select count(*)::int4 as parts, coalesce(sum(points), 0)::float8 as points, coalesce(sum(duplicates), 0)::float8 as repeated,
      coalesce(sum(conflicting), 0)::float8 as conflicted, coalesce(sum(rejected_total), 0)::float8 as rejected_total
    from metrics.backfill_parts where backfill_id = b.id
  ) p
  cross join lateral (
    select count(*)::int4 as windows, count(merged_at)::int4 as done, coalesce(sum(inserted), 0)::float8 as inserted,
      coalesce(sum(duplicates), 0)::float8 as duplicates, coalesce(sum(conflicting), 0)::float8 as conflicting,
      coalesce(sum(expired), 0)::float8 as expired
    from metrics.backfill_windows where backfill_id = b.id
  ) w`

const SELECT_PARTS = `select number, encode(digest, 'hex') as digest, points, rejected, rejected_total from metrics.backfill_parts`

/** A backfill of the tenant, as `nomaly_app`. */
export async function findBackfill(connection: Connection, id: string): Promise<Backfill | undefined> {
  const [row] = await connection.query<BackfillRow>(`${SELECT_BACKFILLS} where b.id = $1`, [id])
  return row === undefined ? undefined : toBackfill(row)
}

/** Those of a source of the tenant, newest first, as `nomaly_app`. */
export async function listBackfills(
  connection: Connection,
  sourceId: string,
  page: PageRequest,
): Promise<Page<Backfill>> {
  const [before] =
    page.cursor === undefined ? [Number.MAX_SAFE_INTEGER] : decodeCursor(page.cursor, [cursorKey.integer])
  const rows = await connection.query<BackfillRow>(
    `${SELECT_BACKFILLS} where b.tenant_id = nomaly.current_tenant() and b.source_id = $1 and b.number < $2
     order by b.number desc limit $3`,
    [sourceId, before, page.limit + 1],
  )
  return toPage(rows, page.limit, toBackfill, (row) => [Number(row.number)])
}

/** A part that has come, as `nomaly_app`. */
export async function findPart(
  connection: Connection,
  id: string,
  number: number,
): Promise<BackfillPartReport | undefined> {
  const [row] = await connection.query<PartRow>(`${SELECT_PARTS} where backfill_id = $1 and number = $2`, [
    id,
    number,
  ])
  return row === undefined ? undefined : toPart(row)
}

/** The parts that have come, by number, as `nomaly_app`. */
export async function listParts(
  connection: Connection,
  id: string,
  page: PageRequest,
): Promise<Page<BackfillPartReport>> {
  const [after] = page.cursor === undefined ? [0] : decodeCursor(page.cursor, [cursorKey.integer])
  const rows = await connection.query<PartRow>(
    `${SELECT_PARTS} where backfill_id = $1 and number > $2::int8 order by number limit $3`,
    [id, after, page.limit + 1],
  )
  return toPage(rows, page.limit, toPart, (row) => [row.number])
}

/** For an id that no backfill of the tenant has. */
export function backfillNotFound(id: string): NomalyError {
  return new NomalyError('not_found', `There is no backfill "${id}".`, {
    hint: 'GET /v1/datasets/NAME/backfills lists those of a dataset.',
  })
}

/** The table of a backfill's points. */
export function pointsTable(number: string): string {
  return `metrics.backfill_points_${BigInt(number)}`
}

function toBackfill(row: BackfillRow): Backfill {
  return {
    id: row.id,
    source: { kind: row.source_kind, id: row.source_id, retention: row.retention },
    status: row.status,
    partsReceived: row.parts,
    partsTotal: row.parts_total ?? undefined,
    points: row.points,
    rejectedTotal: row.rejected_total,
    windowsDone: row.done,
    windowsTotal: row.windows ?? undefined,
    inserted: row.inserted,
    duplicates: row.duplicates + row.repeated,
    conflicting: row.conflicting + row.conflicted,
    expired: row.expired,
    error: row.error === null ? undefined : { message: row.error, hint: row.hint ?? undefined },
    createdAt: row.created_at,
    endedAt: row.ended_at ?? undefined,
  }
}

function toPart(row: PartRow): BackfillPartReport {
  return {
    number: row.number,
    digest: row.digest,
    points: row.points,
    rejected: row.rejected,
    rejectedTotal: row.rejected_total,
  }
}
