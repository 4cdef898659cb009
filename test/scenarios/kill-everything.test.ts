import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { findTimescalePrograms, NO_TIMESCALE } from '../support/timescale-server.ts'
import { missingPoints } from './exported.ts'
import { Installation } from './installation.ts'
import { type KillPlan, planOf, runKilled, runUndisturbed, type Undisturbed } from './kill-scenario.ts'

const isLong = process.env['NOMALY_TEST_SCENARIOS'] === '1'
const seeds = Array.from({ length: isLong ? 50 : 3 }, (_, seed) => seed)
/** How many different sets of data there are; seeds share them, so that an undisturbed run serves several. */
const DATA_SEEDS = isLong ? 6 : 3

/** Which says how it would be answered. */
const ENGINE_QUERY = {
  dataset: 'engine',
  from: '2025-03-03T00:00:00Z',
  to: '2025-03-04T00:00:00Z',
  bucketSeconds: 3_600,
  explain: true,
}

const timescale = await findTimescalePrograms()

describeKills('partitioned', undefined)

if (timescale === undefined)
  describe('kills of everything with timescale', () => {
    test.skip(NO_TIMESCALE, () => {})
  })
else describeKills('timescale', timescale)

function describeKills(engine: string, timescalePrograms: string | undefined): void {
  describe(`kills of everything with ${engine}`, () => {
    let template: Installation
    let quiet: Installation
    const undisturbed = new Map<string, Promise<Undisturbed>>()

    beforeAll(async () => {
      template = await Installation.create(timescalePrograms)
      await template.start()
      if ((await template.stop()) !== 0)
        throw new Error(`The template did not end in order: ${template.said}`)
      quiet = await Installation.copy(template)
      await quiet.start()
      await quiet.ask('POST', '/v1/datasets', { name: 'engine' })
      expect(await quiet.ask('POST', '/v1/query', ENGINE_QUERY)).toMatchObject({ engine })
    })

    afterAll(async () => {
      await quiet?.[Symbol.asyncDispose]()
      await template?.[Symbol.asyncDispose]()
    })

    async function undisturbedRun(plan: KillPlan): Promise<Undisturbed> {
      const key = `${plan.kind} ${plan.dataSeed}`
      const known = undisturbed.get(key) ?? runUndisturbed(quiet, plan)
      undisturbed.set(key, known)
      return known
    }

    test.for(seeds)('lose and double nothing (seed %i)', { timeout: 120_000 }, async (seed) => {
      const plan = planOf(seed, DATA_SEEDS)
      const expected = await undisturbedRun(plan)
      expect(expected.findings.length).toBeGreaterThan(5)
      const installation = await Installation.copy(template)
      // Also where the test runs out of time: nothing of it may go on running.
      onTestFinished(() => installation[Symbol.asyncDispose]())
      await installation.start()
      const startedAt = Date.now()
      const actual = await runKilled(installation, plan, expected)
      if (isLong)
        process.stdout.write(
          `${JSON.stringify({ engine, plan, report: actual.report, seconds: (Date.now() - startedAt) / 1000 })}\n`,
        )

      expect(actual.points.size).toBe(expected.points.size)
      expect(missingPoints(expected.points, actual.points)).toEqual([])
      expect(actual.findings).toEqual(expected.findings)
      // Long before the queue itself would notice, by a heartbeat of 30 seconds, that nobody works on the task.
      if (actual.report.takeoverMs !== undefined) expect(actual.report.takeoverMs).toBeLessThan(15_000)
    })
  })
}
