import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { whileAlone } from '../database/advisory-lock.ts'
import type { Database } from '../database/database.ts'
import { nextOccurrence } from '../jobs/job.ts'
import {
  type BackupSighting,
  readBackupState,
  recordSighting,
} from '../operations/backup/drill/restore-drills.ts'
import type { Logger } from '../telemetry/logger.ts'
import { repeat, type Repetition } from './repetition.ts'

export interface DrillKeeperOptions {
  readonly database: Database
  /** When backups are put to the proof: five fields, in UTC; empty for never. */
  readonly cron: string
  /** The program and arguments that run a drill: in a process of its own, which the server does not wait for. */
  readonly command: readonly string[]
  /** Looks what there is of backups; left out where nothing is configured. */
  readonly look?: (signal: AbortSignal) => Promise<BackupSighting>
  readonly clock: () => number
  readonly logger: Logger
  readonly intervalMs?: number
}

/** Any number will do, as long as every process takes the same. */
const DRILL_LOCK = 4_207_310_022
const INTERVAL_MS = 60_000
const LOOK_MS = 900_000
/** How long a drill may take before it is ended. */
const DRILL_TIMEOUT_MS = 24 * 3_600_000

/** Has drills run when they are due, one at a time in the whole installation, and notes what there is of backups for metrics. */
export class DrillKeeper implements AsyncDisposable {
  readonly #options: DrillKeeperOptions
  readonly #stopping = new AbortController()
  readonly #repetitions: Repetition[] = []
  /** Drills that were due before are not made up for. */
  #since: number

  constructor(options: DrillKeeperOptions) {
    this.#options = options
    const { cron, look, clock, logger, intervalMs = INTERVAL_MS } = options
    this.#since = clock()
    if (cron !== '')
      this.#repetitions.push(repeat('restore drills', { intervalMs }, () => this.#runDue(), logger))
    if (look !== undefined)
      this.#repetitions.push(
        repeat('look at backups', { intervalMs: LOOK_MS }, () => this.#note(look), logger),
      )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort(new Error('the keeper of drills is stopping'))
    for (const repetition of this.#repetitions) await repetition.stop()
  }

  async #note(look: NonNullable<DrillKeeperOptions['look']>): Promise<void> {
    try {
      await recordSighting(this.#options.database, await look(this.#stopping.signal))
    } catch (error) {
      if (!this.#stopping.signal.aborted) throw error
    }
  }

  async #runDue(): Promise<void> {
    if (!(await this.#isDue())) return
    const { database } = this.#options
    const { signal } = this.#stopping
    await whileAlone(database, DRILL_LOCK, { role: 'nomaly_system', signal }, async () => {
      // Another process may have come first, and be done.
      if (!(await this.#isDue())) return
      this.#since = this.#options.clock()
      await this.#run()
    }).catch((error: unknown) => {
      if (!signal.aborted) throw error
    })
  }

  async #isDue(): Promise<boolean> {
    const { database, cron, clock } = this.#options
    const { last } = await readBackupState(database)
    const after = Math.max(this.#since, last?.startedAt.getTime() ?? 0)
    const due = nextOccurrence({ kind: 'cron', cron }, new Date(after))
    return due !== undefined && due.getTime() <= clock()
  }

  async #run(): Promise<void> {
    const { command, logger } = this.#options
    const [program, ...args] = command
    const child = spawn(program!, args, {
      stdio: ['ignore', 'ignore', 'pipe'],
      signal: AbortSignal.any([this.#stopping.signal, AbortSignal.timeout(DRILL_TIMEOUT_MS)]),
      killSignal: 'SIGTERM',
    })
    let said = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => (said = (said + text).slice(-4_000)))
    const [code] = (await once(child, 'close')) as [number | null]
    if (code === 0) logger.info('a backup was put to the proof')
    else logger.error({ said: said.trim() }, 'a restore drill failed: its report says why')
  }
}
