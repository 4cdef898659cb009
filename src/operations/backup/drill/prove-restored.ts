import type { rebuildMonitor } from '../../../jobs/watch-series.ts'
import { openMetricsReader } from '../../../store/open-store.ts'
import { auditLog } from './checks/audit-log.ts'
import { belonging } from './checks/belonging.ts'
import { dataChecksums } from './checks/data-checksums.ts'
import { detectors } from './checks/detectors.ts'
import { goldenHour } from './checks/golden-hour.ts'
import { newestPoints } from './checks/newest-points.ts'
import { parts } from './checks/parts.ts'
import { rollUps } from './checks/roll-ups.ts'
import { rowCounts } from './checks/row-counts.ts'
import { schema } from './checks/schema.ts'
import { heaps, indexes } from './checks/structures.ts'
import type { ProofCheck, ProofContext, ProofFinding, ProofVerdict, Remembered } from './proof-check.ts'
import { openRestored, type RestoredAddresses } from './restored-databases.ts'

/** What a check of a drill has found, and how long it took. */
export interface ProofResult extends Omit<ProofFinding, 'remember'> {
  readonly check: string
  readonly shows: string
  readonly details: readonly string[]
  readonly seconds: number
}

/** What all checks together have shown. */
export interface Proof {
  /** The worst of all. */
  readonly verdict: ProofVerdict
  readonly results: readonly ProofResult[]
  /** What later drills must find again; parts are missing where their check failed. */
  readonly remember: Partial<Remembered>
}

export interface ProveOptions {
  readonly addresses: RestoredAddresses
  /** Of earlier drills, newest first. */
  readonly remembered?: readonly Remembered[]
  readonly signal: AbortSignal
  readonly clock: () => number
  readonly progress?: (check: string, detail: string, done: number, total: number) => void
  /** How a detector continues from a state; for tests. */
  readonly rebuild?: typeof rebuildMonitor
}

/**
 * Looks at restored databases as a whole, and has detectors do again what they did. Needs superuser; makes the extension amcheck, and changes
 * nothing else. A check that cannot be made counts as failed.
 */
export async function proveRestored(options: ProveOptions): Promise<Proof> {
  const { addresses, remembered = [], signal, clock, progress = () => {}, rebuild } = options
  await using databases = await openRestored(addresses)
  // Page checksums come after everything was read, and what needs whole tables after those were read.
  const checks: readonly ProofCheck[] = [
    schema,
    belonging,
    rowCounts,
    heaps,
    indexes,
    dataChecksums,
    parts,
    newestPoints,
    rollUps,
    auditLog,
    detectors,
    goldenHour(rebuild),
  ]
  const results: ProofResult[] = []
  let remember: Partial<Remembered> = {}
  for (const [done, check] of checks.entries()) {
    signal.throwIfAborted()
    const startedAt = performance.now()
    const say = (detail: string): void => progress(check.name, detail, done, checks.length)
    say('')
    const found = await run(check, signal, async () => ({
      core: databases.core,
      metrics: databases.metrics,
      engine: await openMetricsReader(databases.metrics.database, clock),
      remembered,
      signal,
      clock,
      progress: say,
    }))
    remember = { ...remember, ...found.remember }
    const { verdict, says, details = [] } = found
    const seconds = (performance.now() - startedAt) / 1000
    results.push({ check: check.name, shows: check.shows, verdict, says, details, seconds })
  }
  return { verdict: worstOf(results), results, remember }
}

async function run(
  check: ProofCheck,
  signal: AbortSignal,
  context: () => Promise<ProofContext>,
): Promise<ProofFinding> {
  try {
    return await check.run(await context())
  } catch (error) {
    if (signal.aborted) throw error
    return { verdict: 'fail', says: `It could not be looked at: ${(error as Error).message}` }
  }
}

function worstOf(results: readonly ProofResult[]): ProofVerdict {
  if (results.some(({ verdict }) => verdict === 'fail')) return 'fail'
  return results.some(({ verdict }) => verdict === 'warn') ? 'warn' : 'ok'
}
