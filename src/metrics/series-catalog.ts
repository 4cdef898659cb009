import type { Connection } from '../database/connection.ts'
import type { TenantScope } from '../access/tenant-scope.ts'
import type { RetentionClass, SeriesId, SeriesKey, SeriesSource } from './metrics-engine.ts'
import { int4Array } from './array-encoder.ts'
import { type KnownSeries, SeriesCache } from './series-cache.ts'
import { canonicalKey } from './series-key.ts'

const DEFAULT_CACHE_ENTRIES = 100_000

/** The series of one batch, by index of their key. */
export interface ResolvedSeries {
  readonly byKey: readonly (KnownSeries | undefined)[]
  /** Ids of the series made just now. */
  readonly created: readonly SeriesId[]
  /** To be called once the transaction has committed: before, what it made does not exist. */
  remember(): void
}

interface Wanted {
  readonly cacheKey: string
  readonly key: SeriesKey
  /** Indexes of the keys that name this series. */
  readonly indexes: number[]
  known?: KnownSeries
}

/** Finds series by name and makes those that are missing, under row-level security. */
export class SeriesCatalog {
  readonly #cache: SeriesCache

  constructor(cacheEntries: number = DEFAULT_CACHE_ENTRIES) {
    this.#cache = new SeriesCache(cacheEntries)
  }

  /** Resolves the keys for which `used` is not 0, as `nomaly_app` of the tenant. The source must be locked. */
  async resolve(
    connection: Connection,
    scope: TenantScope,
    source: SeriesSource,
    keys: readonly SeriesKey[],
    used: Uint8Array,
  ): Promise<ResolvedSeries> {
    const wanted = this.#collect(scope, source, keys, used)
    await this.#recall(connection, source, wanted)
    const unknown = () => wanted.filter((one) => one.known === undefined)
    if (unknown().length > 0) await find(connection, source, unknown())
    // In an order all share, so that two who make the same series wait for, and never block, one another.
    const missing = unknown().toSorted((a, b) => (a.cacheKey < b.cacheKey ? -1 : 1))
    const created = missing.length === 0 ? [] : await create(connection, scope, source, missing)
    if (unknown().length > 0) await find(connection, source, unknown())
    const byKey: (KnownSeries | undefined)[] = Array.from({ length: keys.length })
    for (const { indexes, known } of wanted) for (const index of indexes) byKey[index] = known
    return {
      byKey,
      created,
      remember: () => {
        for (const { cacheKey, known } of wanted) if (known !== undefined) this.#cache.set(cacheKey, known)
      },
    }
  }

  #collect(scope: TenantScope, source: SeriesSource, keys: readonly SeriesKey[], used: Uint8Array): Wanted[] {
    const prefix = `${scope.tenantId} ${source.kind} ${source.id} `
    const byCacheKey = new Map<string, Wanted>()
    for (const [index, key] of keys.entries()) {
      if (used[index] === 0) continue
      const cacheKey = prefix + canonicalKey(key)
      const present = byCacheKey.get(cacheKey)
      if (present === undefined) byCacheKey.set(cacheKey, { cacheKey, key, indexes: [index] })
      else present.indexes.push(index)
    }
    return [...byCacheKey.values()]
  }

  /** Takes what the cache knows, after one look whether all of it still exists. */
  async #recall(connection: Connection, source: SeriesSource, wanted: readonly Wanted[]): Promise<void> {
    const recalled: Wanted[] = []
    for (const one of wanted) {
      const known = this.#cache.get(one.cacheKey)
      if (known === undefined) continue
      one.known = known
      recalled.push(one)
    }
    if (recalled.length === 0) return
    const ids = Int32Array.from(recalled, (one) => one.known!.id)
    const rows = await connection.query<{ present: number }>(
      `select count(*)::int4 as present from metrics.series
       where id = any($1::int4[]) and source_kind = $2 and source_id = $3`,
      [int4Array(ids), source.kind, source.id],
    )
    if (rows[0]!.present === recalled.length) return
    for (const one of recalled) {
      this.#cache.delete(one.cacheKey)
      delete one.known
    }
  }
}

interface SeriesRow {
  readonly n: number
  readonly id: number
  readonly retention: RetentionClass
}

async function find(connection: Connection, source: SeriesSource, wanted: readonly Wanted[]): Promise<void> {
  const rows = await connection.query<SeriesRow>(
    // The array keeps the look-up on the unique key whatever the planner thinks of the rest.
    `with k as materialized (
       select n, metrics.series_digest(metric, tags::jsonb) as digest
       from unnest($1::text[], $2::text[]) with ordinality as u(metric, tags, n)
     )
     select k.n::int4 as n, s.id, s.retention
     from metrics.series s join k on k.digest = s.digest
     where s.tenant_id = nomaly.current_tenant() and s.source_kind = $3 and s.source_id = $4
       and s.digest = any(array(select digest from k))`,
    [...nameColumns(wanted), source.kind, source.id],
  )
  for (const { n, id, retention } of rows) wanted[n - 1]!.known = { id, retention }
}

async function create(
  connection: Connection,
  scope: TenantScope,
  source: SeriesSource,
  wanted: readonly Wanted[],
): Promise<SeriesId[]> {
  const rows = await connection.query<{ id: number }>(
    `insert into metrics.series (tenant_id, source_kind, source_id, metric, tags, retention)
     select $3, $4, $5, k.metric, k.tags::jsonb, $6
     from unnest($1::text[], $2::text[]) with ordinality as k(metric, tags, n) order by k.n
     on conflict (tenant_id, source_kind, source_id, digest) do nothing
     returning id`,
    [...nameColumns(wanted), scope.tenantId, source.kind, source.id, source.retention],
  )
  return rows.map(({ id }) => id)
}

function nameColumns(wanted: readonly Wanted[]): [string[], string[]] {
  return [wanted.map(({ key }) => key.metric), wanted.map(({ key }) => JSON.stringify(key.tags))]
}
