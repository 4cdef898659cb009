import { describe, test } from 'vitest'
import { describeMetricsEngine } from '../conformance/metrics-engine.ts'
import { isTimescaleOffered, makeTimescaleEngine } from './timescale-fixture.ts'

if (await isTimescaleOffered()) {
  describeMetricsEngine('timescale', () => makeTimescaleEngine())
  describeMetricsEngine('timescale, compressed', () => makeTimescaleEngine({ compressing: true }))
} else
  describe('metrics engine timescale', () => {
    test.skip('skipped: this server offers no timescaledb', () => {})
  })
