import type { Command } from 'commander'
import { startServer } from '../../api/server.ts'
import { loadConfig } from '../../config/load.ts'
import { isRestoreFolder } from '../../operations/backup/open-backups.ts'
import { openInstance } from '../../operations/open-instance.ts'
import { SelfWatch } from '../../operations/self-watch.ts'
import { followLogLevel } from '../../operations/follow-log-level.ts'
import { createLogger } from '../../telemetry/logger.ts'
import { createProcessMetrics } from '../../telemetry/process-metrics.ts'
import { readVersion } from '../../version.ts'
import { Worker } from '../../worker/worker.ts'
import { keepBackups } from '../backup/keep-backups.ts'
import { keepDrills } from '../backup/keep-drills.ts'
import { withExamples } from '../help-examples.ts'
import { note, paint, print } from '../output.ts'
import { untilToldToStop } from '../shutdown.ts'

/** Adds `nomaly start`. */
export function registerStart(program: Command): void {
  const command = program
    .command('start')
    .description(
      'Starts the server: API, dashboard and worker in one process, on a database of its own in the data folder, ' +
        'or on the one that DATABASE_URL names. Stop it with Ctrl+C or `nomaly stop`.',
    )
    .option('--api-only', 'do no detection here: other machines run `nomaly worker`')
  withExamples(command, [
    ['nomaly start', 'on 127.0.0.1:8420, data in .nomaly/'],
    ['NOMALY_PORT=9000 NOMALY_DATA_DIR=/srv/nomaly nomaly start', 'elsewhere'],
    ['DATABASE_URL=postgresql://nomaly@db/nomaly nomaly start', 'on a PostgreSQL server of yours'],
  ])
  command.action(start)
}

async function start(flags: { readonly apiOnly?: boolean }): Promise<void> {
  const stop = untilToldToStop()
  const settings = loadConfig()
  const logger = createLogger(settings.logLevel)
  const version = readVersion()
  await using stack = new AsyncDisposableStack()
  const instance = stack.use(await openInstance(settings, 'start', note, stop.signal))
  const { store, folder } = instance
  const config = store.liveSettings.follow(settings)
  followLogLevel(logger, store.liveSettings)
  const metrics = createProcessMetrics(store)
  if (flags.apiOnly !== true)
    stack.use(
      await Worker.start({
        store,
        databaseUrl: settings.directDatabaseUrl ?? instance.databaseUrl,
        concurrency: config.workerConcurrency,
        drainTimeoutMs: config.drainTimeoutMs,
        webhookPrivateAddresses: config.webhookPrivateAddresses,
        goldenSeries: config.goldenSeries,
        logger,
        metrics,
      }),
    )
  if (instance.embedded !== undefined && settings.backupTarget !== undefined && !isRestoreFolder(folder.path))
    stack.use(keepBackups(settings, store.database, { logger, registry: metrics.registry }))
  const drills = flags.apiOnly === true ? undefined : keepDrills(settings, store.database, logger)
  if (drills !== undefined) stack.use(drills)
  const server = stack.use(await startServer({ store, config, logger, metrics, version, log: note }))
  await folder.recordOwner({ port: server.port, url: server.url })
  if (config.selfWatchSeconds > 0)
    stack.use(
      await SelfWatch.start({
        store,
        tenantId: instance.tenantId,
        dataDirectory: folder.path,
        intervalSeconds: config.selfWatchSeconds,
        logger,
      }),
    )
  const token = await store.identities.createSignInToken({ tenantId: instance.tenantId }, 'admin')
  const database =
    instance.embedded === undefined
      ? 'the server of DATABASE_URL'
      : `embedded PostgreSQL on port ${instance.embedded.port}`
  print(
    [
      '',
      `  ${paint('bold', `Nomaly ${version}`)} is running.`,
      '',
      `  Open       ${paint('cyan', `${server.url}/sign-in?token=${token}`)}`,
      `             ${paint('dim', 'signs one browser in, once, within 15 minutes; `nomaly link` prints another')}`,
      `  API        ${server.url}/docs`,
      `  Database   ${database}`,
      ...(store.hasMetricsApart ? ['  Metrics    the server of METRICS_DATABASE_URL'] : []),
      `  Data       ${folder.path}`,
      '',
      `  ${paint('dim', 'Ctrl+C stops it.')}`,
      '',
    ].join('\n'),
  )
  await stop.told
  note('Stopping: finishing what is under way …')
}
