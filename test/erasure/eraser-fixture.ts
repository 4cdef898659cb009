import pg from 'pg'
import { onTestFinished } from 'vitest'
import type { TenantScope } from '../../src/access/tenant-scope.ts'
import type { Config } from '../../src/config/profiles.ts'
import type { ErasureWork } from '../../src/operations/erasure/erasure-site.ts'
import { Eraser, type EraserOptions } from '../../src/operations/erasure/open-eraser.ts'
import type { SeriesId } from '../../src/metrics/metrics-engine.ts'
import type { Store } from '../../src/store/store.ts'

/** What every erasure of a test takes. */
export const WORK: ErasureWork = { signal: new AbortController().signal, now: () => new Date() }

/** An eraser that is closed when the test ends. */
export async function openEraser(config: Config, options: Partial<EraserOptions> = {}): Promise<Eraser> {
  const eraser = await Eraser.open(config, { log: () => {}, ...options })
  onTestFinished(() => eraser[Symbol.asyncDispose]())
  return eraser
}

export async function connectAdmin(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => {})
  await client.connect()
  onTestFinished(() => client.end().catch(() => {}))
  return client
}

/** Every schema that the product has, as one text: what is in no row of it no query finds. */
export async function dumpDatabase(admin: pg.Client): Promise<string> {
  const { rows: tables } = await admin.query<{ name: string }>(
    `select format('%I.%I', n.nspname, c.relname) as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relkind in ('r', 'p') and not c.relispartition and n.nspname in ('nomaly', 'metrics', 'pgboss') order by 1`,
  )
  const texts: string[] = []
  for (const { name } of tables) {
    const { rows } = await admin.query<{ text: string | null }>(
      `select string_agg(to_jsonb(t)::text, E'\\n') as text from ${name} t`,
    )
    if (rows[0]!.text !== null) texts.push(`# ${name}\n${rows[0]!.text}`)
  }
  return texts.join('\n')
}

/** The table of points that are kept forever, whichever engine has them. */
export async function pointsTable(admin: pg.Client): Promise<string> {
  const { rows } = await admin.query<{ name: string }>('select name from metrics.engine')
  return rows[0]?.name === 'timescale' ? 'metrics.timescale_points_forever' : 'metrics.points_forever'
}

/** Stores points a minute apart under metrics of a new dataset; answers its id and the series by metric. */
export async function plantSeries(
  store: Store,
  scope: TenantScope,
  name: string,
  values: Readonly<Record<string, readonly number[]>>,
  retention: 'forever' | 'month' = 'forever',
  endMs = Date.now(),
): Promise<{ datasetId: string; series: Map<string, SeriesId> }> {
  const { value: dataset } = await store.transaction(scope, (unit) =>
    unit.datasets.create({ name, retention }),
  )
  const metrics = Object.keys(values)
  const points = Object.values(values).flatMap((list, index) =>
    list.map((value, at) => ({ index, value, timeMs: endMs - (list.length - at) * 60_000 })),
  )
  await store.metrics.append(scope, {
    source: { kind: 'dataset', id: dataset.id, retention },
    keys: metrics.map((metric) => ({ metric, tags: { host: metric } })),
    series: Uint32Array.from(points, ({ index }) => index),
    timesMs: Float64Array.from(points, ({ timeMs }) => timeMs),
    values: Float64Array.from(points, ({ value }) => value),
  })
  const listed = await store.metrics.listSeries(scope, { sourceId: dataset.id })
  return { datasetId: dataset.id, series: new Map(listed.map(({ metric, id }) => [metric, id])) }
}
