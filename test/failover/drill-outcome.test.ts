import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import type { WriteAccount } from '../../src/operations/failover/account-writes.ts'
import { type DrillOutcome, judgeDrill } from '../../src/operations/failover/drill-outcome.ts'
import type { DrillPlan } from '../../src/operations/failover/drill-plan.ts'
import { keepReport, listReports } from '../../src/operations/failover/drill-report.ts'

const account: WriteAccount = {
  acknowledged: 100,
  missing: 0,
  missingExamples: [],
  lastMissing: undefined,
  storedUnacknowledged: 2,
  storedThoughRefused: 0,
  doubled: 0,
  torn: 0,
}
const good: DrillOutcome = {
  counters: account,
  points: account,
  straight: account,
  pauseMs: { counters: 4_000, points: 4_500 },
  reads: { answered: 50, refused: 3, longestPauseMs: 4_100, stale: 0 },
  findings: { expected: 9, missed: 0, doubled: 0, unfounded: 0 },
  errors: { unavailable: 7 },
  isReplicationCut: true,
  walBytesPerSecond: 1_000,
  lossBoundBytes: 0,
  lostBytes: 0,
  leaderBefore: 'n1',
  leaderAfter: 'n2',
  wholeAfterMs: 9_000,
}
const neverLose = { preset: 'never-lose', kind: 'kill', maxPauseMs: 18_000 } as const
const neverStop = { ...neverLose, preset: 'never-stop' } as const

/** Names of the promises that were not kept. */
function broken(plan: Parameters<typeof judgeDrill>[0], changes: Partial<DrillOutcome>): string[] {
  const { passed, checks } = judgeDrill(plan, { ...good, ...changes })
  const names = checks.filter((check) => !check.passed).map(({ name }) => name)
  expect(passed).toBe(names.length === 0)
  return names
}

const missing = { ...account, missing: 3, missingExamples: ['counters 0/7'] }

test('a drill in which every promise was kept has passed', () => {
  expect(broken(neverLose, {})).toEqual([])
  expect(broken(neverStop, {})).toEqual([])
})

test.each([
  ['a write is missing', { points: missing, lostBytes: 9 }, 'acknowledged writes are there'],
  [
    'nothing was written',
    { counters: { ...account, acknowledged: 0 }, points: { ...account, acknowledged: 0 } },
    'acknowledged writes are there',
  ],
  [
    'the former leader said yes to what is lost',
    { straight: missing },
    'the former leader acknowledged nothing that is lost',
  ],
  [
    'something was done twice',
    { counters: { ...account, doubled: 1 } },
    'every write was done once and whole, or not at all',
  ],
  [
    'a batch is there in part',
    { points: { ...account, torn: 1 } },
    'every write was done once and whole, or not at all',
  ],
  [
    'a refusal was not true',
    { points: { ...account, storedThoughRefused: 1 } },
    'every write was done once and whole, or not at all',
  ],
  ['it took too long', { pauseMs: { counters: 1, points: 18_001 } }, 'writes go on'],
  ['points never came back', { pauseMs: { counters: 1, points: undefined } }, 'writes go on'],
  ['a read was stale', { reads: { ...good.reads, stale: 1 } }, 'nobody missed what he had written'],
  [
    'a finding was missed',
    { findings: { expected: 9, missed: 1, doubled: 0, unfounded: 0 } },
    'findings are complete, and none is doubled',
  ],
  [
    'a finding was doubled',
    { findings: { expected: 9, missed: 0, doubled: 1, unfounded: 0 } },
    'findings are complete, and none is doubled',
  ],
  [
    'a finding has no points',
    { findings: { expected: 9, missed: 0, doubled: 0, unfounded: 1 } },
    'findings are complete, and none is doubled',
  ],
  [
    'nothing was to be found',
    { findings: { expected: 0, missed: 0, doubled: 0, unfounded: 0 } },
    'findings are complete, and none is doubled',
  ],
  ['an error had no name', { errors: { 'error: read ECONNRESET': 1 } }, 'errors say what they are'],
  ['a member did not come back', { wholeAfterMs: undefined }, 'the cluster is whole again'],
] as const)('never lose: %s', (_, changes, name) => {
  expect(broken(neverLose, changes)).toEqual([name])
})

test('what never stops may lose as much as was said before, and no more', () => {
  const loses = { counters: missing, lossBoundBytes: 1_000 }
  expect(broken(neverStop, { ...loses, lostBytes: 1_000 })).toEqual([])
  expect(broken(neverStop, { ...loses, lostBytes: 1_001 })).toEqual(['acknowledged writes are there'])
  expect(broken(neverStop, { ...loses, lostBytes: undefined })).toEqual(['acknowledged writes are there'])
  expect(broken(neverStop, { straight: missing })).toEqual([])
  const findings = { expected: 9, missed: 1, doubled: 0, unfounded: 1 }
  expect(broken(neverStop, { ...loses, lostBytes: 1, findings })).toEqual([])
  expect(broken(neverStop, { findings })).toEqual(['findings are complete, and none is doubled'])
})

test('a report is kept for people and for programs, and nobody else reads it', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'nomaly-drill-report-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  const plan = { ...neverLose, leader: { name: 'n1' }, others: [], settings: {} } as unknown as DrillPlan
  const report = (second: number) => ({
    run: 'drill-1',
    startedAt: `2026-11-24T10:00:0${second}.000Z`,
    struckAt: `2026-11-24T10:00:0${second}.500Z`,
    plan,
    outcome: good,
    verdict: judgeDrill(plan, good),
  })
  await keepReport(folder, report(1))
  const kept = await keepReport(folder, report(2))
  expect(await readFile(kept.markdown, 'utf8')).toMatch(
    /^# Failover drill: passed[^]*Time to the next write: 4500 ms[^]*✓ writes go on \| after 4\.5 s/,
  )
  expect((await stat(kept.json)).mode & 0o077).toBe(0)
  expect((await listReports(folder)).map(({ startedAt }) => startedAt.slice(17, 19))).toEqual(['02', '01'])
  expect(await listReports(join(folder, 'nowhere'))).toEqual([])
})
