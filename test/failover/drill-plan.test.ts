import { expect, test } from 'vitest'
import {
  toClusterSettings,
  toClusterView,
  toTimelineEnds,
} from '../../src/operations/failover/cluster-view.ts'
import { lossBoundBytes, planDrill, presetOf } from '../../src/operations/failover/drill-plan.ts'
import { isWhole } from '../../src/operations/failover/drill-watch.ts'

const leader = { name: 'n1', role: 'leader', state: 'running', host: 'a', port: 1, timeline: 7 }
const sync = { name: 'n2', role: 'sync_standby', state: 'streaming', host: 'b', port: 1, timeline: 7, lag: 0 }
const replica = {
  name: 'n3',
  role: 'replica',
  state: 'running',
  host: 'c',
  port: 1,
  timeline: 7,
  lag: 5_000_000,
}
const strict = toClusterSettings({
  ttl: 5,
  loop_wait: 1,
  retry_timeout: 2,
  synchronous_mode: true,
  synchronous_mode_strict: 'on',
})
const loose = toClusterSettings({})

function plan(members: readonly object[], settings = strict, more: object = {}) {
  return planDrill('kill', toClusterView({ members, ...more }), settings, undefined)
}

test('what is not set has the defaults of Patroni, and decides what the cluster promises', () => {
  expect(loose).toEqual({
    ttlMs: 30_000,
    loopWaitMs: 10_000,
    retryTimeoutMs: 10_000,
    maximumLagBytes: 1_048_576,
    isSynchronous: false,
    isStrict: false,
    hasFailsafe: false,
  })
  expect([presetOf(strict), presetOf(loose)]).toEqual(['never-lose', 'never-stop'])
  expect(() => planDrill('kill', toClusterView({ members: [leader, sync] }), loose, 'never-lose')).toThrow(
    'set up to never stop, not to never lose',
  )
})

test('a cluster that is ill already is left alone', () => {
  expect(plan([leader, sync]).others.map(({ name }) => name)).toEqual(['n2'])
  expect(() => plan([sync])).toThrow('no leader')
  expect(() => plan([leader])).toThrow('No standby follows')
  expect(() => plan([leader, { ...sync, timeline: 6 }])).toThrow('No standby follows')
  expect(() => plan([leader, { ...sync, state: 'stopped' }])).toThrow('No standby follows')
  expect(() => plan([leader, replica])).toThrow('No standby is synchronous')
  expect(() => plan([leader, replica], loose)).toThrow('lags behind')
  expect(() => plan([leader, sync], strict, { pause: true })).toThrow('paused')
  expect(() => plan([leader, sync], strict, { scheduled_switchover: { at: 'tomorrow' } })).toThrow(
    'scheduled',
  )
})

test('the bound on what may be lost is nothing, or a lag and what is written before the leader tells of itself again', () => {
  expect(lossBoundBytes(plan([leader, sync]), 1e9)).toBe(0)
  expect(lossBoundBytes(plan([leader, sync], loose), 1_000)).toBe(1_048_576 + 30_000)
})

test('the time that writes may be gone follows from the times of Patroni', () => {
  expect(plan([leader, sync]).maxPauseMs).toBe(28_000)
  expect(planDrill('etcd', toClusterView({ members: [leader, sync] }), strict, undefined).maxPauseMs).toBe(
    3_000,
  )
})

test('whole is who was there before, on the new timeline, with a synchronous standby where there has to be one', () => {
  const before = plan([leader, sync])
  const view = (...members: object[]) => toClusterView({ members })
  const promoted = { ...sync, role: 'leader', timeline: 8, lag: undefined }
  const back = { ...leader, role: 'sync_standby', timeline: 8 }
  expect(isWhole(view(promoted, back), before)).toBe(true)
  expect(isWhole(view(promoted, { ...back, role: 'replica' }), before)).toBe(false)
  expect(isWhole(view(promoted, { ...back, timeline: 7 }), before)).toBe(false)
  expect(isWhole(view(promoted), before)).toBe(false)
  expect(isWhole(view(back), before)).toBe(false)
})

test('where timelines end is read for each of them', () => {
  expect(
    toTimelineEnds([
      [1, 25_623_960, 'no recovery target specified'],
      [2, 9_007_199_254_740_991],
    ]).get(1),
  ).toBe(25_623_960n)
})
