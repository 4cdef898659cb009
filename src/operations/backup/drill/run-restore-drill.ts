import { randomUUID } from 'node:crypto'
import { chmod, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { BackupEngine, BackupProgress, RestoreTarget } from '../backup-engine.ts'
import { NomalyError } from '../../../errors.ts'
import type { rebuildMonitor } from '../../../jobs/watch-series.ts'
import { clearAbandoned, markOwned } from './abandoned-drills.ts'
import type { BroughtUp, DrillAim, DrillSite, RestoredBackup } from './drill-site.ts'
import type { Remembered } from './proof-check.ts'
import { type ProofResult, proveRestored } from './prove-restored.ts'
import type { DrillRecord } from './restore-drills.ts'

/** What a drill has shown. Times are ISO 8601. */
export interface RestoreDrillReport {
  readonly id: string
  readonly startedAt: string
  readonly finishedAt: string
  readonly engine: BackupEngine['name']
  readonly place: string
  readonly verdict: DrillRecord['verdict']
  /** Why it came no further; `undefined` where databases were restored that answer. */
  readonly failure:
    | { readonly message: string; readonly hint: string | undefined; readonly said: string | undefined }
    | undefined
  readonly target: RestoreTarget
  readonly backups: readonly (Omit<RestoredBackup, 'endedAt'> & { readonly endedAt: string })[]
  /** Up to when the restored databases have everything that was committed. */
  readonly recoveredTo: string | undefined
  /** From the beginning of the restore until the databases answered. */
  readonly rtoSeconds: number | undefined
  /** What would be lost if all but the backups were, as the drill began: the time since a piece of log was stored last. */
  readonly rpoSeconds: number | undefined
  readonly checks: readonly ProofResult[]
  readonly limits: readonly string[]
  readonly remember: Partial<Remembered>
}

export interface RestoreDrillOptions {
  readonly site: DrillSite
  /** Which backup, and to which state; the newest of everything where they are left out. */
  readonly backupId?: string | undefined
  readonly target?: RestoreTarget | undefined
  /** Where to restore to; a folder for temporary files where it is left out. */
  readonly folder?: string | undefined
  /** Of earlier drills, newest first. */
  readonly remembered: readonly Remembered[]
  readonly clock: () => number
  readonly signal: AbortSignal
  readonly progress?: (progress: DrillProgress) => void
  /** For tests. */
  readonly rebuild?: typeof rebuildMonitor
}

/** Where a drill stands. */
export type DrillProgress =
  | { readonly phase: 'storing' }
  | ({ readonly phase: 'restoring' } & { readonly backup: BackupProgress })
  | {
      readonly phase: 'checking'
      readonly check: string
      readonly detail: string
      readonly done: number
      readonly total: number
    }

/** Restores a backup beside everything else, puts it to the proof, and removes it again. What goes wrong stands in the report. */
export async function runRestoreDrill(options: RestoreDrillOptions): Promise<RestoreDrillReport> {
  const { site, signal, clock, progress = () => {} } = options
  const startedMs = clock()
  const id = randomUUID()
  const report = {
    id,
    startedAt: new Date(startedMs).toISOString(),
    engine: site.engine,
    place: site.place,
    limits: site.limits,
  }
  let target: RestoreTarget = options.target ?? { kind: 'latest' }
  let rpoSeconds: number | undefined
  const found: Partial<RestoreDrillReport> = {}
  try {
    progress({ phase: 'storing' })
    const begin = await site.begin(`nomaly-drill-${startedMs}`, signal)
    if (options.target === undefined && options.backupId === undefined) target = begin.target
    if (begin.storedUntil !== undefined)
      rpoSeconds = Math.max(0, (startedMs - begin.storedUntil.getTime()) / 1000)
    Object.assign(found, await restoreAndProve(options, { backupId: options.backupId, target }))
  } catch (error) {
    signal.throwIfAborted()
    Object.assign(found, { failure: describe(error) })
  }
  const checks = found.checks ?? []
  const isFailed = found.failure !== undefined || checks.some(({ verdict }) => verdict === 'fail')
  const isPart = site.limits.length > 0 || checks.some(({ verdict }) => verdict === 'warn')
  return {
    ...report,
    finishedAt: new Date(clock()).toISOString(),
    verdict: isFailed ? 'failed' : isPart ? 'proven in part' : 'proven',
    failure: found.failure,
    target,
    backups: found.backups ?? [],
    recoveredTo: found.recoveredTo,
    rtoSeconds: found.rtoSeconds,
    rpoSeconds,
    checks,
    remember: found.remember ?? {},
  }
}

async function restoreAndProve(
  options: RestoreDrillOptions,
  aim: DrillAim,
): Promise<Pick<RestoreDrillReport, 'backups' | 'recoveredTo' | 'rtoSeconds' | 'checks' | 'remember'>> {
  const { site, signal, clock, remembered, progress = () => {}, rebuild } = options
  const parent = join(options.folder ?? tmpdir(), 'nomaly-restore-drills')
  await mkdir(parent, { recursive: true, mode: 0o711 })
  await clearAbandoned(parent)
  const folder = await mkdtemp(join(parent, 'drill-'))
  try {
    // Root's server runs under another user, who has to pass through.
    await chmod(folder, 0o711)
    await markOwned(folder)
    const startedAt = performance.now()
    await using restored: BroughtUp = await site
      .bringUp(folder, aim, {
        signal,
        progress: (backup) => progress({ phase: 'restoring', backup }),
      })
      .catch(async (error: unknown) => {
        throw await withLog(folder, error)
      })
    const rtoSeconds = (performance.now() - startedAt) / 1000
    const proof = await proveRestored({
      addresses: restored.addresses,
      remembered,
      signal,
      clock,
      progress: (check, detail, done, total) => progress({ phase: 'checking', check, detail, done, total }),
      ...(rebuild === undefined ? {} : { rebuild }),
    })
    return {
      backups: restored.backups.map((backup) => ({ ...backup, endedAt: backup.endedAt.toISOString() })),
      recoveredTo: restored.recoveredTo?.toISOString(),
      rtoSeconds,
      checks: [judgeLog(restored), ...proof.results],
      remember: proof.remember,
    }
  } finally {
    await rm(folder, { recursive: true, force: true, maxRetries: 5 })
  }
}

function judgeLog({ shortfall }: BroughtUp): ProofResult {
  return {
    check: 'log',
    shows: 'all of the log that is stored, up to what was asked for, was there and was replayed',
    verdict: shortfall === undefined ? 'ok' : 'fail',
    says: shortfall ?? 'The log was replayed up to where it should be.',
    details: [],
    seconds: 0,
  }
}

/** What the scratch server said is gone with its folder. */
async function withLog(folder: string, error: unknown): Promise<unknown> {
  if (!(error instanceof NomalyError) || error.cause !== undefined) return error
  const log = await readFile(join(folder, 'core', 'postgres.log'), 'utf8').catch(() => undefined)
  if (log === undefined) return error
  return new NomalyError(error.code, error.message, {
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    cause: new Error(log.slice(-4_000)),
  })
}

function describe(error: unknown): RestoreDrillReport['failure'] {
  // Whatever it was: a drill that left no report would leave the former one's verdict standing.
  const { message, cause } = error instanceof Error ? error : new Error(String(error))
  return {
    message,
    hint: error instanceof NomalyError ? error.hint : undefined,
    said: cause instanceof Error ? cause.message : undefined,
  }
}
