import type { AdminSession } from './admin-session.ts'
import type { ErasedCounts, SeriesSubject } from './erasure.ts'
import { forgetAnswers } from './forget-answers.ts'

/** Every table of the core whose rows belong to series, from the catalogue: a new one cannot be forgotten. */
const SERIES_TABLES = `select c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where n.nspname = 'nomaly' and c.relkind in ('r', 'p') and not c.relispartition
    and 2 = (select count(*) from pg_attribute a where a.attrelid = c.oid and a.attname in ('tenant_id', 'series_id') and not a.attisdropped)
  order by 1`

/** No two tenants share the number of a series. */
const OF_SERIES = 'tenant_id = $1 and series_id = any($2::int4[])'

function valuesOf({ tenantId, sources }: SeriesSubject): [string, number[]] {
  return [tenantId, sources.flatMap(({ series }) => series)]
}

/** Removes what was found on series, and what detectors have learnt of them, from a core database, in one transaction. */
export async function eraseFindings(core: AdminSession, subject: SeriesSubject): Promise<ErasedCounts> {
  const values = valuesOf(subject)
  return core.transaction(async (run) => {
    await run.become('nomaly_system')
    const tables = await run.query<{ name: string }>(SERIES_TABLES)
    const found = await run.query<{ id: string }>(
      `select id from nomaly.anomalies where ${OF_SERIES}`,
      values,
    )
    const counts: Record<string, number> = {}
    for (const { name } of tables)
      counts[`nomaly.${name}`] = await run.change(`delete from nomaly."${name}" where ${OF_SERIES}`, values)
    const tasks = await run.change(
      `delete from pgboss.job where data ->> 'tenantId' = $1 and data ->> 'anomalyId' = any($2::text[])`,
      [subject.tenantId, found.map(({ id }) => id)],
    )
    return { ...counts, tasks, sealedAnswers: await forgetAnswers(run, subject.tenantId) }
  })
}

/** How many rows there are, by the name of the table with its schema. */
export async function countFindings(core: AdminSession, subject: SeriesSubject): Promise<ErasedCounts> {
  const counts: Record<string, number> = {}
  for (const { name } of await core.ask<{ name: string }>('nomaly_system', SERIES_TABLES)) {
    const [row] = await core.ask<{ count: string }>(
      'nomaly_system',
      `select count(*) as count from nomaly."${name}" where ${OF_SERIES}`,
      valuesOf(subject),
    )
    counts[`nomaly.${name}`] = Number(row!.count)
  }
  return counts
}
