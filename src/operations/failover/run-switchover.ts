import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import { connectClient } from '../../database/connect.ts'
import { LONGEST_HOLD_MS } from '../../database/transaction-hold.ts'
import { NomalyError } from '../../errors.ts'
import type { Store } from '../../store/store.ts'
import { DrillLoad } from './drill-load.ts'
import { closeSite, openSite } from './drill-site.ts'
import type { PatroniClient } from './patroni-client.ts'
import { planSwitchover, type SwitchoverPlan } from './plan-switchover.ts'
import { longestPauseMs, WriteLedger } from './write-ledger.ts'

export type SwitchoverPhase = 'looking' | 'pausing' | 'switching' | 'resuming' | 'rejoining'

export interface SwitchoverOptions {
  readonly store: Store
  readonly patroni: PatroniClient
  /** Of the application's login, which sees its own sessions. */
  readonly databaseUrl: string
  /** Name of the member that is to lead; the standby that is least behind where it is left out. */
  readonly to?: string | undefined
  readonly clock: () => number
  readonly signal: AbortSignal
  readonly onPhase?: (phase: SwitchoverPhase, plan: SwitchoverPlan) => void
}

export interface SwitchoverReport {
  readonly from: string
  readonly to: string
  /** Longest time, in milliseconds, that a write of this command's own had to wait. */
  readonly longestStallMs: number
  /** From asking everybody to pause until nobody had a transaction open any more. */
  readonly drainedAfterMs: number
  /** From Patroni's order to its answer. */
  readonly switchedAfterMs: number
  readonly writes: number
  readonly reads: number
  /** By code, of this command's own writes and reads; empty where nobody felt anything but the wait. */
  readonly errors: Readonly<Record<string, number>>
  /** Whether the former leader follows the new one again. */
  readonly hasRejoined: boolean
}

/** How long open transactions may take to end. Together with the switch it must stay within the time that others hold still. */
const DRAIN_TIMEOUT_MS = 5_000
const SWITCH_TIMEOUT_MS = LONGEST_HOLD_MS - DRAIN_TIMEOUT_MS
const LOOK_MS = 50
const LOOKS_IN_A_ROW = 2
const CALM_MS = 1_500
const REJOIN_TIMEOUT_MS = 60_000
const WRITES_PER_SECOND = 50

const OPEN_TRANSACTIONS = `select application_name as name, extract(epoch from clock_timestamp() - xact_start)::float8 as seconds
  from pg_stat_activity where datname = current_database() and usename = current_user and backend_type = 'client backend'
    and application_name in ('nomaly', 'nomaly metrics') and state <> 'idle' and pid <> pg_backend_pid()`

/**
 * Hands the leader's place over in order: all processes of the installation are asked to hold up what begins, what has begun is waited for, Patroni
 * switches, and everybody goes on by the new leader. Writes of its own show what that costs.
 * @throws NomalyError `conflict` where nobody can take over, where transactions do not end in time, or with Patroni's reason; everything is as before then.
 */
export async function runSwitchover(options: SwitchoverOptions): Promise<SwitchoverReport> {
  const { store, patroni, clock, signal } = options
  const plan = planSwitchover(await patroni.cluster(signal), await patroni.settings(signal), options.to)
  const tell = (phase: SwitchoverPhase): void => options.onPhase?.(phase, plan)
  tell('looking')
  const ledger = new WriteLedger()
  const place = await openSite(store, `switchover-${randomBytes(4).toString('hex')}`, Math.floor(clock()))
  await using stack = new AsyncDisposableStack()
  const looker = await connectClient(options.databaseUrl, { application_name: 'nomaly switchover' })
  stack.defer(() => looker.end().catch(() => {}))
  const load = stack.use(
    DrillLoad.start({ store, site: place.site, ledger, clock, writesPerSecond: WRITES_PER_SECOND }),
  )
  await sleep(CALM_MS, undefined, { signal })
  await checkpoint(looker)

  const beganAtMs = clock()
  let drainedAtMs: number
  let switchedAtMs: number
  try {
    tell('pausing')
    store.notifier.publish({ channel: 'hold', tenantId: '', id: '' })
    await untilDrained(looker, clock, signal)
    drainedAtMs = clock()
    tell('switching')
    // From here it is not given up half-way: what Patroni has begun it finishes.
    await patroni.switchover(plan.leader.name, plan.candidate.name, AbortSignal.timeout(SWITCH_TIMEOUT_MS))
    switchedAtMs = clock()
    tell('resuming')
    await untilUnheld(store, clock, signal)
  } finally {
    // Who has seen the new leader goes on by itself; this is for the others, and for when it came to nothing.
    store.notifier.publish({ channel: 'resume', tenantId: '', id: '' })
    store.database.hold.release()
  }
  await sleep(CALM_MS, undefined, { signal })
  const endedAtMs = clock()
  tell('rejoining')
  const hasRejoined = await untilRejoined(options, plan)
  await load.stop()
  await closeSite(store, place)
  const stalls = (['counters', 'points'] as const).map(
    (kind) => longestPauseMs(ledger.of(kind), beganAtMs, endedAtMs) ?? endedAtMs - beganAtMs,
  )
  return {
    from: plan.leader.name,
    to: plan.candidate.name,
    longestStallMs: Math.max(...stalls),
    drainedAfterMs: drainedAtMs - beganAtMs,
    switchedAfterMs: switchedAtMs - drainedAtMs,
    writes: ledger.writes.filter(({ acknowledgedAtMs }) => acknowledgedAtMs !== undefined).length,
    reads: load.reads.answered,
    errors: Object.fromEntries(ledger.errors),
    hasRejoined,
  }
}

/** The leader writes everything out before it ends: what is written out before anybody waits, nobody waits for. Not every login may ask for that. */
async function checkpoint(looker: pg.Client): Promise<void> {
  try {
    await looker.query('set role pg_checkpoint')
    await looker.query('checkpoint')
  } catch {
    // Then they wait for it.
  } finally {
    await looker.query('reset role')
  }
}

/** @throws NomalyError `conflict` that says who does not end. */
async function untilDrained(looker: pg.Client, clock: () => number, signal: AbortSignal): Promise<void> {
  const untilMs = clock() + DRAIN_TIMEOUT_MS
  for (let inARow = 0; ; await sleep(LOOK_MS, undefined, { signal })) {
    const { rows } = await looker.query<{ name: string; seconds: number | null }>(OPEN_TRANSACTIONS)
    inARow = rows.length === 0 ? inARow + 1 : 0
    if (inARow === LOOKS_IN_A_ROW) return
    if (clock() < untilMs) continue
    const longest = Math.max(...rows.map(({ seconds }) => seconds ?? 0))
    throw new NomalyError(
      'conflict',
      `${rows.length} transactions were still open after ${DRAIN_TIMEOUT_MS / 1000} s; the longest has run for ${Math.round(longest)} s.`,
      {
        hint: 'Nothing was changed, and everybody goes on. Try again when exports, backfills and long queries are through.',
      },
    )
  }
}

/** Waits until this process goes on, as the others do. */
async function untilUnheld(store: Store, clock: () => number, signal: AbortSignal): Promise<void> {
  for (const untilMs = clock() + LONGEST_HOLD_MS; store.database.hold.isHeld && clock() < untilMs;)
    await sleep(LOOK_MS, undefined, { signal })
}

async function untilRejoined(
  { patroni, clock, signal }: SwitchoverOptions,
  plan: SwitchoverPlan,
): Promise<boolean> {
  for (
    const untilMs = clock() + REJOIN_TIMEOUT_MS;
    clock() < untilMs;
    await sleep(5 * LOOK_MS, undefined, { signal })
  ) {
    const view = await patroni.cluster(signal).catch(() => undefined)
    const former = view?.members.find(({ name }) => name === plan.leader.name)
    if (former?.isUp === true && former.role !== 'leader' && former.timeline === view?.leader?.timeline)
      return true
  }
  return false
}
