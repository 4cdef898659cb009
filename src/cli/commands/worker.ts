import type { Command } from 'commander'
import { loadConfig } from '../../config/load.ts'
import { findDatabaseUrls } from '../../operations/connection-urls.ts'
import { followLogLevel } from '../../operations/follow-log-level.ts'
import { openStore } from '../../store/open-store.ts'
import { createLogger } from '../../telemetry/logger.ts'
import { createProcessMetrics } from '../../telemetry/process-metrics.ts'
import { Worker } from '../../worker/worker.ts'
import { keepDrills } from '../backup/keep-drills.ts'
import { withExamples } from '../help-examples.ts'
import { note } from '../output.ts'
import { untilToldToStop } from '../shutdown.ts'

/** Adds `nomaly worker`. */
export function registerWorker(program: Command): void {
  const command = program
    .command('worker')
    .description(
      'Runs only the worker, on the database of an installation that is up. Any number, on any number of machines.',
    )
  withExamples(command, [['DATABASE_URL=postgresql://nomaly@db/nomaly nomaly worker', '']])
  command.action(work)
}

async function work(): Promise<void> {
  const stop = untilToldToStop()
  const config = loadConfig()
  const logger = createLogger(config.logLevel)
  const { applicationUrl } = await findDatabaseUrls(config)
  await using store = await openStore(config, applicationUrl, note)
  followLogLevel(logger, store.liveSettings)
  const metrics = createProcessMetrics(store)
  await using worker = await Worker.start({
    store,
    databaseUrl: config.directDatabaseUrl ?? applicationUrl,
    concurrency: config.workerConcurrency,
    drainTimeoutMs: config.drainTimeoutMs,
    webhookPrivateAddresses: config.webhookPrivateAddresses,
    goldenSeries: config.goldenSeries,
    logger,
    metrics,
  })
  await using _drills = keepDrills(config, store.database, logger)
  note(`Worker ${worker.id} is working. Ctrl+C stops it.`)
  await stop.told
  note('Stopping: finishing what is under way …')
}
