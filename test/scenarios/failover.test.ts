import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type DrillOutcome, timeToNextWriteMs } from '../../src/operations/failover/drill-outcome.ts'
import type { DrillReport } from '../../src/operations/failover/run-drill.ts'
import type { DrillKind } from '../../src/operations/failover/strike.ts'
import { failoverCommands } from './failover-commands.ts'
import { type FailoverFixture, ProcessStrike, startFailoverFixture } from './failover-cluster.ts'

const isLong = process.env['NOMALY_TEST_SCENARIOS'] === '1'
/** How often each kind is tried where a cluster never loses: thirty times in all. */
const TIMES: Readonly<Record<DrillKind, number>> = isLong
  ? { kill: 15, freeze: 5, patroni: 5, etcd: 5 }
  : { kill: 1, freeze: 1, patroni: 1, etcd: 1 }

/** Nothing of what an outcome counts may be other than nought. */
const CLEAN = { missing: 0, doubled: 0, torn: 0, storedThoughRefused: 0 }

describe('a cluster that never loses', () => {
  let fixture: FailoverFixture
  const reports: DrillReport[] = []

  beforeAll(async () => {
    fixture = await startFailoverFixture({ preset: 'never-lose', timing: 'fast' })
  }, 240_000)
  afterAll(() => fixture?.[Symbol.asyncDispose]())

  const rounds = (Object.entries(TIMES) as [DrillKind, number][]).flatMap(([kind, times]) =>
    Array.from({ length: times }, (_, round) => [kind, round] as const),
  )
  test.for(rounds)(
    '%s, round %i: nothing acknowledged is lost, nothing is done twice',
    { timeout: 300_000 },
    async ([kind, round]) => {
      const strike = new ProcessStrike(fixture.cluster, round % 2 === 0 ? 'freeze' : 'kill')
      const report = await fixture.drill(kind, strike)
      reports.push(report)
      say(report)
      const { outcome, verdict } = report
      expect(verdict.checks.filter(({ passed }) => !passed)).toEqual([])
      expect(outcome.counters).toMatchObject(CLEAN)
      expect(outcome.points).toMatchObject(CLEAN)
      expect(outcome.straight).toMatchObject(CLEAN)
      expect(outcome.findings).toMatchObject({ missed: 0, doubled: 0, unfounded: 0 })
      expect(outcome.isReplicationCut).toBe(kind === 'kill' || kind === 'freeze')
      expect(outcome.leaderAfter === outcome.leaderBefore).toBe(kind === 'etcd')
      // The same API and worker as before all drills.
      const written = await fixture.nomaly.request('POST', '/v1/datasets', { body: { name: report.run } })
      expect(written.status).toBe(201)
    },
  )

  describe('by the operator’s commands', () => {
    failoverCommands(() => fixture)
  })

  afterAll(() => {
    const times = reports
      .filter(({ plan }) => plan.kind === 'kill')
      .map(({ outcome }) => timeToNextWriteMs(outcome) ?? Infinity)
    if (isLong)
      process.stdout.write(`${JSON.stringify({ kills: times.length, medianNextWriteMs: median(times) })}\n`)
  })
})

// Another cluster, and the same blow: in `npm test` each kind of blow is struck once.
describe.runIf(isLong)('a cluster that never stops', () => {
  let fixture: FailoverFixture

  beforeAll(async () => {
    fixture = await startFailoverFixture({ preset: 'never-stop', timing: 'fast' })
  }, 240_000)
  afterAll(() => fixture?.[Symbol.asyncDispose]())

  test.for(Array.from({ length: 5 }, (_, round) => round))(
    'round %i: loses no more than was said before, and counts it',
    { timeout: 300_000 },
    async () => {
      const report = await fixture.drill('kill')
      say(report)
      const { outcome, verdict } = report
      expect(verdict.checks.filter(({ passed }) => !passed)).toEqual([])
      expect(outcome.lossBoundBytes).toBeGreaterThan(0)
      // Replication was cut before: what was acknowledged after that is what only the leader had.
      expect(lost(outcome)).toBeGreaterThan(0)
      expect(outcome.lostBytes).toBeGreaterThan(0)
      expect(outcome.lostBytes).toBeLessThanOrEqual(outcome.lossBoundBytes)
    },
  )
})

function lost({ counters, points }: DrillOutcome): number {
  return counters.missing + points.missing
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)]!
}

function say({ plan, outcome, verdict }: DrillReport): void {
  if (!isLong) return
  process.stdout.write(
    `${JSON.stringify({ kind: plan.kind, preset: plan.preset, nextWriteMs: timeToNextWriteMs(outcome), passed: verdict.passed, outcome })}\n`,
  )
}
