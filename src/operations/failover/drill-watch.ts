import { setTimeout as sleep } from 'node:timers/promises'
import type { ClusterView, Member } from './cluster-view.ts'
import type { DrillPlan } from './drill-plan.ts'
import type { PatroniClient } from './patroni-client.ts'
import { longestPauseMs, type WriteLedger } from './write-ledger.ts'

export interface WatchOptions {
  readonly patroni: Pick<PatroniClient, 'cluster'>
  readonly plan: DrillPlan
  readonly clock: () => number
  readonly signal: AbortSignal
}

/** Writes go on where none of the two kinds has paused for as long as this. */
const CALM_MS = 1_500
const LOOK_MS = 250

/**
 * Watches what the blow does: until somebody else leads, or where nobody has to, until all of Patroni's times have passed, and writes have then gone on for
 * a while; at most twice as long as they may be gone.
 */
export async function watchBlow(
  options: WatchOptions,
  ledger: WriteLedger,
  struckAtMs: number,
  calmForMs: number,
): Promise<void> {
  const { plan, clock, signal } = options
  const { ttlMs, loopWaitMs, retryTimeoutMs } = plan.settings
  const untilMs = struckAtMs + 2 * plan.maxPauseMs + calmForMs
  let isOver = false
  for (; clock() < untilMs; await sleep(LOOK_MS, undefined, { signal })) {
    isOver ||=
      plan.kind === 'etcd'
        ? clock() - struckAtMs > ttlMs + loopWaitMs + retryTimeoutMs
        : await hasNewLeader(options)
    const fromMs = clock() - calmForMs
    if (!isOver || fromMs < struckAtMs) continue
    const pauses = (['counters', 'points'] as const).map((kind) =>
      longestPauseMs(ledger.of(kind), fromMs, clock()),
    )
    if (pauses.every((pause) => pause !== undefined && pause < CALM_MS)) return
  }
}

/** Waits until every member follows one leader; answers it, or `undefined` where that takes too long. */
export async function untilWhole(options: WatchOptions, timeoutMs: number): Promise<Member | undefined> {
  const { patroni, plan, clock, signal } = options
  for (const untilMs = clock() + timeoutMs; clock() < untilMs; await sleep(LOOK_MS, undefined, { signal })) {
    const view = await patroni.cluster(signal).catch(() => undefined)
    signal.throwIfAborted()
    if (view !== undefined && isWhole(view, plan)) return view.leader
  }
  return undefined
}

/** Whether all who were there before the blow follow one leader, on its timeline, and a synchronous standby is among them where there has to be one. */
export function isWhole(
  { leader, members }: ClusterView,
  { preset, leader: before, others }: DrillPlan,
): boolean {
  if (leader === undefined) return false
  const present = members.filter(({ isUp, timeline }) => isUp && timeline === leader.timeline)
  return (
    [before, ...others].every(({ name }) => present.some((member) => member.name === name)) &&
    (preset === 'never-stop' || present.some(({ role }) => role === 'sync_standby'))
  )
}

async function hasNewLeader({ patroni, plan, signal }: WatchOptions): Promise<boolean> {
  const view = await patroni.cluster(signal).catch(() => undefined)
  signal.throwIfAborted()
  return view?.leader !== undefined && view.leader.name !== plan.leader.name
}
