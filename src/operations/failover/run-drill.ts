import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Database } from '../../database/database.ts'
import { NomalyError } from '../../errors.ts'
import type { Preset } from '../deploy/preset.ts'
import type { Store } from '../../store/store.ts'
import { accountFor, lostBytes } from './account-writes.ts'
import type { Member } from './cluster-view.ts'
import { DrillLoad, type ReadTally } from './drill-load.ts'
import { type DrillOutcome, type DrillVerdict, judgeDrill } from './drill-outcome.ts'
import { type DrillPlan, lossBoundBytes, planDrill } from './drill-plan.ts'
import { closeSite, openSite } from './drill-site.ts'
import { untilWhole, watchBlow } from './drill-watch.ts'
import { FindingsWatch } from './findings-watch.ts'
import { findCounters, findPoints, type FoundLanes } from './found-writes.ts'
import type { PatroniClient } from './patroni-client.ts'
import type { DrillKind, Strike } from './strike.ts'
import { untilDeadline } from './until-deadline.ts'
import { longestPauseMs, WriteLedger } from './write-ledger.ts'

export type DrillPhase = 'warming up' | 'striking' | 'watching' | 'healing' | 'accounting'

export interface DrillOptions {
  readonly store: Store
  readonly patroni: PatroniClient
  readonly strike: Strike
  readonly kind: DrillKind
  /** What the cluster is taken to be; a drill of another one is refused. */
  readonly preset?: Preset | undefined
  readonly writesPerSecond?: number
  /** Opens a pool to one member itself, past what leads clients to the leader. The drill closes it. */
  readonly openStraight: (member: Member) => Database
  /** How long the load runs before the blow, and goes on once writes do. */
  readonly warmUpMs?: number
  readonly watchMs?: number
  /** How long the cluster may take to be whole again. */
  readonly wholeTimeoutMs?: number
  readonly clock: () => number
  readonly signal: AbortSignal
  /** Told what will be done and may be lost, right before the blow. */
  readonly onPlan?: (plan: DrillPlan, lossBoundBytes: number) => void
  readonly onPhase?: (phase: DrillPhase) => void
}

/** Everything about one drill. */
export interface DrillReport {
  readonly run: string
  /** ISO 8601. */
  readonly startedAt: string
  readonly struckAt: string
  readonly plan: DrillPlan
  readonly outcome: DrillOutcome
  readonly verdict: DrillVerdict
}

/**
 * Replication that was cut this long before the blow leaves something behind that only the leader has. Where nothing is acknowledged without a standby
 * there is no such thing, and a leader that lives on tells the others that it has none: then nobody may take over.
 */
const CUT_LEAD_MS = 300
const ACCOUNT_TIMEOUT_MS = 30_000
const TIDY_TIMEOUT_MS = 20_000
const SIGNAL_AGE_MS = 6 * 86_400_000

/**
 * Takes the leader from a running cluster under load, and counts what became of every write. Whatever happens, what was done to the cluster is taken back.
 * @throws NomalyError `conflict` where the cluster is not fit for a drill; nothing was done to it then.
 */
export async function runDrill(options: DrillOptions): Promise<DrillReport> {
  const { store, patroni, strike, kind, clock, signal } = options
  const plan = planDrill(kind, await patroni.cluster(signal), await patroni.settings(signal), options.preset)
  const startedAtMs = clock()
  const run = `drill-${randomBytes(4).toString('hex')}`
  const place = await openSite(store, run, Math.floor(startedAtMs))
  const ledger = new WriteLedger()
  await using stack = new AsyncDisposableStack()
  const straight = stack.use(options.openStraight(plan.leader))
  const findings = stack.use(
    await FindingsWatch.start({ store, ...place, originMs: place.site.originMs - SIGNAL_AGE_MS }),
  )
  const load = stack.use(
    DrillLoad.start({
      store,
      site: place.site,
      ledger,
      clock,
      writesPerSecond: options.writesPerSecond ?? 200,
    }),
  )
  load.writeStraight(straight)
  options.onPhase?.('warming up')
  const walBytesPerSecond = await measureWal(store, options.warmUpMs ?? 5_000, signal)
  const bound = lossBoundBytes(plan, walBytesPerSecond)
  requireWarm(ledger)
  options.onPlan?.(plan, bound)

  options.onPhase?.('striking')
  const watching = { patroni, plan, clock, signal }
  let isReplicationCut = false
  let struckAtMs: number
  try {
    if (kind === 'kill' || kind === 'freeze') {
      isReplicationCut = await strike.cutReplication(plan.leader, signal)
      if (isReplicationCut && plan.preset === 'never-stop') await sleep(CUT_LEAD_MS, undefined, { signal })
    }
    struckAtMs = clock()
    await strike.strike(kind, plan.leader, signal)
    options.onPhase?.('watching')
    await watchBlow(watching, ledger, struckAtMs, options.watchMs ?? 5_000)
  } finally {
    options.onPhase?.('healing')
    await strike.heal(kind, plan.leader, new AbortController().signal)
  }
  const watchedUntilMs = clock()
  const leaderAfter = await untilWhole(watching, options.wholeTimeoutMs ?? 120_000)
  const wholeAtMs = clock()
  await load.stop()

  options.onPhase?.('accounting')
  const foundFindings = await findings.account(ACCOUNT_TIMEOUT_MS)
  const counters = await findCounters(store, place.site)
  const counted = accountFor(ledger.of('counters'), without(counters, 'straight'))
  const stored = accountFor(ledger.of('points'), await findPoints(store, place.site))
  const missed = [counted, stored].flatMap(({ lastMissing }) => lastMissing ?? [])
  const ends = missed.length === 0 ? new Map<number, bigint>() : await patroni.timelineEnds(signal)
  const lost = missed.map((write) => lostBytes(write, ends))
  const pauseOf = (of: 'counters' | 'points'): number | undefined =>
    longestPauseMs(ledger.of(of), struckAtMs, watchedUntilMs)
  const outcome: DrillOutcome = {
    counters: counted,
    points: stored,
    straight: accountFor(
      ledger.of('straight').map((write) => ({ ...write, lane: 0 })),
      only(counters, 'straight'),
    ),
    pauseMs: { counters: pauseOf('counters'), points: pauseOf('points') },
    reads: { ...readsOf(load.reads), stale: countStale(load.reads.unseen, counters) },
    findings: foundFindings,
    errors: Object.fromEntries(ledger.errors),
    isReplicationCut,
    walBytesPerSecond,
    lossBoundBytes: bound,
    lostBytes: lost.some((bytes) => bytes === undefined) ? undefined : Math.max(0, ...(lost as number[])),
    leaderBefore: plan.leader.name,
    leaderAfter: leaderAfter?.name,
    wholeAfterMs: leaderAfter === undefined ? undefined : wholeAtMs - struckAtMs,
  }
  // Where it cannot be done now, the next drill and the retention of the dataset do it.
  await untilDeadline(AbortSignal.timeout(TIDY_TIMEOUT_MS), () => closeSite(store, place).catch(() => {}))
  return {
    run,
    startedAt: new Date(startedAtMs).toISOString(),
    struckAt: new Date(struckAtMs).toISOString(),
    plan,
    outcome,
    verdict: judgeDrill(plan, outcome),
  }
}

/** Lets the load run for a while, and answers how many bytes of the log all writers together made in a second. */
async function measureWal(store: Store, forMs: number, signal: AbortSignal): Promise<number> {
  const read = (): Promise<number> =>
    store.database.read({ role: 'nomaly_system', freshness: 'latest', signal }, async (connection) => {
      const [row] = await connection.query<{ bytes: number }>(
        "select (pg_current_wal_insert_lsn() - '0/0')::float8 as bytes",
      )
      return row!.bytes
    })
  const before = await read()
  const beganAt = performance.now()
  await sleep(forMs, undefined, { signal })
  return Math.max(0, ((await read()) - before) / ((performance.now() - beganAt) / 1000))
}

/** @throws NomalyError `unavailable` where nothing is acknowledged even before the blow. */
function requireWarm(ledger: WriteLedger): void {
  for (const kind of ['counters', 'points', 'straight'] as const) {
    if (ledger.of(kind).some(({ acknowledgedAtMs }) => acknowledgedAtMs !== undefined)) continue
    const errors = [...ledger.errors.keys()].join(', ')
    throw new NomalyError(
      'unavailable',
      `Before the blow no write of ${kind} was acknowledged${errors === '' ? '' : `: ${errors}`}.`,
      {
        hint:
          kind === 'straight'
            ? 'The drill must reach the leader itself, at the address that Patroni gives, with the login of DATABASE_URL.'
            : 'Look whether DATABASE_URL leads to the leader; `nomaly status` says how it is.',
      },
    )
  }
}

function readsOf({
  answered,
  refused,
  longestPauseMs: pause,
}: ReadTally): Omit<DrillOutcome['reads'], 'stale'> {
  return { answered, refused, longestPauseMs: pause }
}

/** Of the marks that a read did not see, those that are there: what was lost cannot be seen. */
function countStale(unseen: readonly string[], found: FoundLanes): number {
  return unseen.filter((mark) => {
    const [, lane, n] = mark.split('/')
    return found.get(lane!)?.whole.has(Number(n)) === true
  }).length
}

function without(lanes: FoundLanes, name: string): FoundLanes {
  return new Map([...lanes].filter(([lane]) => lane !== name))
}

/** One lane under the number that its writes have. */
function only(lanes: FoundLanes, name: string): FoundLanes {
  const lane = lanes.get(name)
  return lane === undefined ? new Map() : new Map([['0', lane]])
}
