import { NomalyError } from '../../errors.ts'
import type { Preset } from '../deploy/preset.ts'
import type { ClusterSettings, ClusterView, Member } from './cluster-view.ts'
import type { DrillKind } from './strike.ts'

/** What a drill is going to do, and what is expected of it, said before it begins. */
export interface DrillPlan {
  readonly kind: DrillKind
  readonly preset: Preset
  readonly leader: Member
  readonly others: readonly Member[]
  readonly settings: ClusterSettings
  /** Longest time without an acknowledged write that passes. */
  readonly maxPauseMs: number
}

/** On top of what Patroni's own times come to: a promotion, a balancer's checks and a connection. */
const SETTLE_MS = 10_000
/** A standby that has more than the one that leads now must be rewound before it can follow, and be waited for. */
const REWIND_MS = 10_000
/** Losing etcd is no reason to stop, where members still answer each other. */
const NO_STOP_MS = 3_000

/** Never lose only where nothing is acknowledged that a standby does not have. */
export function presetOf({ isSynchronous, isStrict }: ClusterSettings): Preset {
  return isSynchronous && isStrict ? 'never-lose' : 'never-stop'
}

/**
 * Looks whether this cluster can stand a drill now.
 * @throws NomalyError `conflict` that says what is wrong with it: a drill is not for one that is ill already.
 */
export function planDrill(
  kind: DrillKind,
  view: ClusterView,
  settings: ClusterSettings,
  expected: Preset | undefined,
): DrillPlan {
  const { leader, members } = view
  const preset = presetOf(settings)
  if (expected !== undefined && expected !== preset)
    throw refuse(
      `The cluster is set up to ${preset.replace('-', ' ')}, not to ${expected.replace('-', ' ')}`,
      'Never lose is synchronous_mode together with synchronous_mode_strict in the configuration of Patroni.',
    )
  if (leader === undefined) throw refuse('The cluster has no leader', 'Bring it up first.')
  if (view.isPaused)
    throw refuse('Patroni is paused: nothing would take over', 'Resume it with `patronictl resume`.')
  if (view.hasScheduledSwitchover) throw refuse('A switchover is scheduled', 'Wait for it, or take it back.')
  const others = members.filter(
    (member) => member !== leader && member.isUp && member.timeline === leader.timeline,
  )
  if (others.length === 0) throw refuse('No standby follows the leader', 'Repair replication first.')
  if (preset === 'never-lose' && !others.some(({ role }) => role === 'sync_standby'))
    throw refuse(
      'No standby is synchronous',
      'Look at synchronous_standby_names and at pg_stat_replication on the leader.',
    )
  const lagging = others.filter(({ lagBytes = 0 }) => lagBytes > settings.maximumLagBytes)
  if (lagging.length === others.length)
    throw refuse(
      'Every standby lags behind',
      `None is within maximum_lag_on_failover (${settings.maximumLagBytes} bytes).`,
    )
  return { kind, preset, leader, others, settings, maxPauseMs: maxPauseMs(kind, settings) }
}

function maxPauseMs(kind: DrillKind, { ttlMs, loopWaitMs, retryTimeoutMs }: ClusterSettings): number {
  return kind === 'etcd' ? NO_STOP_MS : ttlMs + loopWaitMs + retryTimeoutMs + SETTLE_MS + REWIND_MS
}

/**
 * How much of the write-ahead log may be lost that was acknowledged, in bytes; 0 where the cluster never loses. A standby may take over that is
 * `maximum_lag_on_failover` behind what the leader said last of itself, which was as long ago as `ttl` where it dies at its last moment.
 * @param walBytesPerSecond how fast the log was seen to grow under this load.
 */
export function lossBoundBytes({ preset, settings }: DrillPlan, walBytesPerSecond: number): number {
  if (preset === 'never-lose') return 0
  return Math.ceil(settings.maximumLagBytes + (settings.ttlMs * walBytesPerSecond) / 1000)
}

function refuse(reason: string, hint: string): NomalyError {
  return new NomalyError('conflict', `${reason}, so there is no drill.`, { hint })
}
