import { countText } from '../amounts.ts'
import { type Check, fail, type Finding, ok, warn } from '../check.ts'

const OLDEST = '2.20'

interface Extension {
  readonly installed: string | null
  readonly offered: string
  /** Its settings are known; a line in postgresql.conf alone, without the library, makes none that is listed. */
  readonly loaded: boolean
  readonly license: string | null
}

export const EXTENSIONS: Check = {
  name: 'extensions',
  on: 'database',
  looksAt:
    'TimescaleDB, where the points are in it: loaded, new enough, of the right licence, its files as new as its catalogue, its jobs without failures.',
  why: 'Points in hypertables cannot be read without it.',
  async examine({ ask, holds, usesTimescale }) {
    if (holds === 'core') return []
    const [row] = await ask<Extension>(
      `select installed_version as installed, default_version as offered,
         exists(select from pg_settings where name = 'timescaledb.max_background_workers') as loaded,
         current_setting('timescaledb.license', true) as license
       from pg_available_extensions where name = 'timescaledb'`,
    )
    if (!usesTimescale)
      return [
        ok(
          row === undefined
            ? 'None is needed: points are in plain PostgreSQL.'
            : `None is needed: points are in plain PostgreSQL, and TimescaleDB ${row.offered} is offered.`,
        ),
      ]
    return [judge(row), ...(await lookAtJobs(ask))]
  },
}

function judge(row: Extension | undefined): Finding {
  const means = 'Points cannot be read or written.'
  if (row?.installed === undefined || row.installed === null)
    return fail(
      'The extension timescaledb is not there, and points are in its tables.',
      means,
      'Install TimescaleDB of the same version on the server.',
    )
  const label = `TimescaleDB ${row.installed}`
  if (!row.loaded)
    return fail(
      `${label} is not loaded.`,
      means,
      'Add timescaledb to shared_preload_libraries in postgresql.conf, and restart the server.',
    )
  if (row.license === 'apache')
    return fail(
      `${label} runs as its Apache edition.`,
      'It has no columnstore and no continuous aggregates: what is compressed cannot be read.',
      'Set timescaledb.license = timescale, and restart the server.',
    )
  if (isOlder(row.installed, OLDEST))
    return fail(
      `${label} is older than ${OLDEST}.`,
      'It lacks what the product uses of it.',
      'Upgrade it, and run `alter extension timescaledb update`.',
    )
  if (isOlder(row.installed, row.offered))
    return warn(
      `${label} is installed, and the server has the files of ${row.offered}.`,
      'What the newer version mends is not in effect.',
      'Run `alter extension timescaledb update` as the first statement of a new connection.',
    )
  return ok(`${label}, loaded.`)
}

async function lookAtJobs(
  ask: Parameters<Extract<Check, { on: 'database' }>['examine']>[0]['ask'],
): Promise<Finding[]> {
  const [row] = await ask<{ failing: number }>(
    `select count(*)::int4 as failing from timescaledb_information.job_stats where last_run_status = 'Failed'`,
  )
  if (row!.failing === 0) return []
  return [
    warn(
      `${countText(row!.failing, 'background job')} of TimescaleDB failed last.`,
      'Policies that somebody made there are not carried out. The product needs none, and runs those on its own tables itself.',
      'Look at timescaledb_information.job_errors; `call run_job(id)` runs one by hand.',
    ),
  ]
}

function isOlder(version: string, than: string): boolean {
  const [a, b] = [version, than].map((text) => text.split('.').map((part) => Number.parseInt(part, 10)))
  for (let at = 0; at < Math.max(a!.length, b!.length); at++)
    if ((a![at] ?? 0) !== (b![at] ?? 0)) return (a![at] ?? 0) < (b![at] ?? 0)
  return false
}
