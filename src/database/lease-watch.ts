import type { Ending, Lease } from './lease.ts'
import type { PrimaryFinder } from './primary-finder.ts'

export interface LeaseWatchOptions {
  /** What is held now. */
  readonly leases: ReadonlySet<Lease>
  readonly finder: PrimaryFinder
  /** How long a connection may be held without a statement. */
  readonly idleHoldMs: number
  /** A monotonic clock in milliseconds. */
  readonly now: () => number
  readonly end: (lease: Lease, ending: Ending, message: string) => void
}

/** How much longer than its own limit a statement may be without an answer, before its server is taken for gone. */
const SILENCE_MS = 5_000
/** From when on it is asked whether another server has become the primary. */
const DOUBT_MS = 2_000
const MOST_BETWEEN_LOOKS_MS = 1_000

/**
 * Looks at connections that are held, again and again: it ends those that are held without a statement, those whose server has stopped to
 * answer, and those to a server that another one has replaced. Answers what stops it.
 */
export function watchLeases(options: LeaseWatchOptions): () => void {
  const everyMs = Math.min(MOST_BETWEEN_LOOKS_MS, Math.max(20, options.idleHoldMs / 4))
  let isDoubting = false
  const look = (): void => {
    const nowMs = options.now()
    let isDoubtful = false
    for (const lease of options.leases) {
      endIfOver(lease, nowMs, { ...options, idleHoldMs: options.idleHoldMs + everyMs })
      if (lease.awaitedMs(nowMs) > DOUBT_MS) isDoubtful = true
    }
    if (!isDoubtful || isDoubting || !options.finder.isChoice) return
    isDoubting = true
    void endSuperseded(options).finally(() => {
      isDoubting = false
    })
  }
  const timer = setInterval(look, everyMs).unref()
  return () => clearInterval(timer)
}

function endIfOver(lease: Lease, nowMs: number, options: LeaseWatchOptions): void {
  const { label } = lease.purpose
  const idleMs = lease.idleMs(nowMs)
  const awaitedMs = lease.awaitedMs(nowMs)
  if (!lease.mayIdle && idleMs >= options.idleHoldMs)
    options.end(lease, 'idle', `${label} held it for ${seconds(idleMs)} without a statement`)
  else if (awaitedMs >= lease.timeoutMs + SILENCE_MS)
    options.end(lease, 'unanswered', `a statement of ${label} had no answer for ${seconds(awaitedMs)}`)
}

/** A frozen server keeps its connections: what waits on them would wait on, though another one has long taken over. */
async function endSuperseded({ leases, finder, end }: LeaseWatchOptions): Promise<void> {
  await finder.look().catch(() => {})
  for (const lease of leases)
    if (lease.timeline < finder.timeline)
      end(lease, 'superseded', `another server has become the primary while ${lease.purpose.label} waited`)
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`
}
