import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Database } from '../database/database.ts'
import { readLineage } from '../database/log-archive.ts'
import type { BackupKind } from '../operations/backup/backup-engine.ts'
import { readRuns, readSchedule, takeDue } from '../operations/backup/backup-schedule.ts'
import { dropWaitingLog, waitingLogBytes } from '../operations/backup/stored-log.ts'
import type { BackupMetrics } from '../telemetry/backup-metrics.ts'
import type { Logger } from '../telemetry/logger.ts'
import { repeat, type Repetition } from './repetition.ts'

/** The part of an engine that the keeper needs: the embedded one has it. */
export interface LogStoring {
  storeLog(signal: AbortSignal): Promise<number>
}

export interface BackupKeeperOptions {
  readonly database: Database
  /** The data directory of the embedded server. */
  readonly directory: string
  /** Opened with each round, since the settings may be mended meanwhile. */
  openEngine(): Promise<LogStoring>
  /** The program and arguments that make a backup, to which `--kind KIND` is added: in a process of its own, which the server does not wait for. */
  readonly command: readonly string[]
  /** How much log may wait on this disk while the target is away. */
  readonly maxWaitingBytes: number
  readonly clock: () => number
  readonly logger: Logger
  readonly metrics: BackupMetrics
  /** How often it looks for log to store, in milliseconds. */
  readonly storeMs?: number
  /** How often it looks for what is due. */
  readonly scheduleMs?: number
}

const STORE_MS = 5_000
const SCHEDULE_MS = 30_000

/** How long a backup may take before it is ended. */
const BACKUP_TIMEOUT_MS = 24 * 3_600_000

/** Stores log as it is finished, and has backups made when they are due. One in each process that has an embedded server. */
export class BackupKeeper implements AsyncDisposable {
  readonly #options: BackupKeeperOptions
  readonly #stopping = new AbortController()
  readonly #repetitions: Repetition[]
  #lastStoredMs: number | undefined
  #isOwed = false

  constructor(options: BackupKeeperOptions) {
    this.#options = options
    const { logger, storeMs = STORE_MS, scheduleMs = SCHEDULE_MS } = options
    this.#repetitions = [
      repeat('store log', { intervalMs: storeMs }, () => this.#store(), logger),
      repeat('backups', { intervalMs: scheduleMs }, () => this.#makeDue(), logger),
    ]
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort(new Error('the keeper of backups is stopping'))
    for (const repetition of this.#repetitions) await repetition.stop()
  }

  async #store(): Promise<void> {
    const { directory, clock, metrics, maxWaitingBytes, logger } = this.#options
    if ((await readLineage(directory)) === undefined) return
    try {
      const engine = await this.#options.openEngine()
      await engine.storeLog(this.#stopping.signal)
      this.#lastStoredMs = clock()
      metrics.logStoredAt.set(this.#lastStoredMs / 1000)
    } catch (error) {
      if (this.#stopping.signal.aborted) return
      metrics.logFailures.inc()
      if ((await waitingLogBytes(directory)) > maxWaitingBytes) {
        await dropWaitingLog(directory)
        this.#isOwed = true
        logger.error(
          'the target of the backups has been away for too long: log that waited for it was let go, and a backup is made as soon as it is back',
        )
      }
      throw error
    } finally {
      metrics.logWaitingBytes.set(await waitingLogBytes(directory))
    }
  }

  async #makeDue(): Promise<void> {
    const { database, directory, clock, metrics } = this.#options
    const due = await takeDue(database, new Date(clock()))
    // A database that was restored, or whose log has a gap, can be restored from its next backup on only.
    const isScheduled = due !== undefined || (await readSchedule(database)).length > 0
    const isNew = isScheduled && (await readLineage(directory)) === undefined
    const kind = due ?? (this.#isOwed ? 'differential' : isNew ? 'full' : undefined)
    try {
      if (kind !== undefined) {
        await this.#make(kind)
        this.#isOwed = false
      }
    } finally {
      await this.#report(metrics)
    }
  }

  async #report(metrics: BackupMetrics): Promise<void> {
    const runs = await readRuns(this.#options.database, 100)
    const done = runs.find(({ outcome }) => outcome === 'done')
    if (done?.endedAt !== undefined) metrics.lastBackupAt.set(Date.parse(done.endedAt) / 1000)
    const failed = runs.findIndex(({ outcome }) => outcome === 'done')
    metrics.failuresInARow.set(
      runs.slice(0, failed === -1 ? undefined : failed).filter(({ outcome }) => outcome === 'failed').length,
    )
  }

  async #make(kind: BackupKind): Promise<void> {
    const { command, logger } = this.#options
    const [program, ...args] = command
    const child = spawn(program!, [...args, '--kind', kind], {
      stdio: ['ignore', 'ignore', 'pipe'],
      signal: AbortSignal.any([this.#stopping.signal, AbortSignal.timeout(BACKUP_TIMEOUT_MS)]),
      killSignal: 'SIGTERM',
    })
    let said = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => (said = (said + text).slice(-4_000)))
    const [code] = (await once(child, 'close')) as [number | null]
    if (code === 0) logger.info({ kind }, 'a backup was made')
    else throw new Error(`The ${kind} backup failed: ${said.trim().split('\n').slice(-2).join(' ')}`)
  }
}
