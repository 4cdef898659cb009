import type { Connection } from '../database/connection.ts'
import type { TenantScope } from '../access/tenant-scope.ts'
import type { RetentionClass, SeriesId, SeriesKey, SeriesSource } from './metrics-engine.ts'
import { int4Array } from './array-encoder.ts'
import { type KnownSeries, SeriesCache } from './series-cache.ts'
import { canonicalKey } from './series-key.ts'
import { SeriesLimit } from './series-limit.ts'

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
  readonly #limit: SeriesLimit | undefined

  /** `maxSeries` is what one dataset may have; without it there is no limit. */
  constructor(maxSeries?: number, cacheEntries: number = DEFAULT_CACHE_ENTRIES) {
    this.#cache = new SeriesCache(cacheEntries)
    this.#limit = maxSeries === undefined ? undefined : new SeriesLimit(maxSeries)
  }

  /**
   * Resolves the keys for which `used` is not 0, as `nomaly_app` of the tenant. The source must be locked.
   * @throws NomalyError `too_large` where the dataset would have too many series.
   */
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
    const findUnknown = async (): Promise<void> => {
      if (unknown().length > 0) await find(connection, source, unknown())
    }
    await findUnknown()
    if (unknown().length > 0 && source.kind === 'dataset')
      await this.#limit?.admit(connection, source, () => unknown().map(({ key }) => key), findUnknown)
    // In an order all share, so that two who make the same series wait for, and never block, one another.
    const missing = unknown().toSorted((a, b) => (a.cacheKey < b.cacheKey ? -1 : 1))
    const created = missing.length === 0 ? [] : await create(connection, scope, source, missing)
    await findUnknown()
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
  // One look-up of the unique key for each name, whatever the planner thinks. Of a source that it has no statistics of it expects one
  // series, and would compare every name with every series there is. Only that key comes in the order of digests without a sort.
  await connection.query('set local enable_sort = off')
  const rows = await connection.query<SeriesRow>(
    `with k as materialized (
       select n, metrics.series_digest(metric, tags::jsonb) as digest
       from unnest($1::text[], $2::text[]) with ordinality as u(metric, tags, n)
     )
     select k.n::int4 as n, s.id, s.retention
     from k cross join lateral (
       select id, retention, digest from metrics.series
       where tenant_id = nomaly.current_tenant() and source_kind = $3 and source_id = $4 and digest >= k.digest
       order by tenant_id, source_kind, source_id, digest limit 1) s
     where s.digest = k.digest`,
    [...nameColumns(wanted), source.kind, source.id],
  )
  await connection.query('set local enable_sort = on')
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
