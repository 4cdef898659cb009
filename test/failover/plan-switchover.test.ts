import { expect, test } from 'vitest'
import { toClusterSettings, toClusterView } from '../../src/operations/failover/cluster-view.ts'
import { planSwitchover } from '../../src/operations/failover/plan-switchover.ts'

const leader = { name: 'n1', role: 'leader', state: 'running', timeline: 7 }
const near = { name: 'n2', role: 'replica', state: 'running', timeline: 7, lag: 10 }
const nearer = { name: 'n3', role: 'replica', state: 'streaming', timeline: 7, lag: 0 }
const sync = { ...near, role: 'sync_standby' }
const loose = toClusterSettings({})
const strict = toClusterSettings({ synchronous_mode: true })

function choose(members: readonly object[], settings = loose, to?: string, more: object = {}) {
  return planSwitchover(toClusterView({ members, ...more }), settings, to).candidate.name
}

test('the standby that is least behind takes over, unless somebody is named', () => {
  expect(choose([leader, near, nearer])).toBe('n3')
  expect(choose([leader, near, nearer], loose, 'n2')).toBe('n2')
})

test('where nothing may be lost only a synchronous one does', () => {
  expect(choose([leader, sync, nearer], strict)).toBe('n2')
  expect(() => choose([leader, sync, nearer], strict, 'n3')).toThrow('n3 cannot take over now')
  expect(() => choose([leader, near, nearer], strict)).toThrow('No standby can take over now')
})

test('nobody does who is down, on another timeline, too far behind, or not there', () => {
  for (const change of [{ state: 'stopped' }, { timeline: 6 }, { lag: 2_000_000 }])
    expect(() => choose([leader, { ...near, ...change }])).toThrow('No standby can take over now')
  expect(() => choose([leader, near], loose, 'n1')).toThrow('"n1" is not a standby')
  expect(() => choose([near])).toThrow('no leader')
  expect(() => choose([leader, near], loose, undefined, { pause: true })).toThrow('paused')
})
