import type { Command } from 'commander'
import { loadConfig } from '../../config/load.ts'
import { findDatabaseUrls } from '../../operations/connection-urls.ts'
import { metricsMigration, migrateInstance, serverMigration } from '../../operations/open-instance.ts'
import { withExamples } from '../help-examples.ts'
import { note, type OutputOptions, print, printJson, withOutput } from '../output.ts'

/** Adds `nomaly migrate`. */
export function registerMigrate(program: Command): void {
  const command = program
    .command('migrate')
    .description(
      'Brings the database, and that of METRICS_DATABASE_URL, to the schema of this version. `nomaly start` does so by ' +
        'itself; this is for those who want it apart, as another login (ADMIN_DATABASE_URL, METRICS_ADMIN_DATABASE_URL).',
    )
  withOutput(command)
  withExamples(command, [
    ['nomaly migrate', ''],
    ['ADMIN_DATABASE_URL=postgresql://postgres@db/nomaly nomaly migrate', 'as a login that may create roles'],
  ])
  command.action(async ({ output }: OutputOptions) => {
    const config = loadConfig()
    const { adminUrl } = await findDatabaseUrls(config)
    const { applied } = await migrateInstance(
      config.databaseUrl === undefined
        ? { adminUrl }
        : serverMigration(config.databaseUrl, config.adminDatabaseUrl ?? config.directDatabaseUrl),
      config.metricsEngine,
      note,
      metricsMigration(config),
    )
    if (output !== 'table') printJson({ applied })
    else if (applied.length === 0) print('The database is up to date.')
    else for (const name of applied) print(`applied ${name}`)
  })
}
