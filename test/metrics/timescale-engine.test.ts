import { describe, test } from 'vitest'
import { describeMetricsEngine } from '../conformance/metrics-engine.ts'
import { isTimescaleOffered, makeTimescaleEngine } from './timescale-fixture.ts'

const HELD_UP = {
  reason:
    'the first write into a compressed chunk holds up others until it is committed: TimescaleDB notes it at the chunk',
  tests: ['does not close an hour before a write ends that began without knowing of it'],
}

if (await isTimescaleOffered()) {
  describeMetricsEngine('timescale', () => makeTimescaleEngine())
  describeMetricsEngine('timescale, compressed', () => makeTimescaleEngine({ compressing: true }), {
    skip: [HELD_UP],
  })
} else
  describe('metrics engine timescale', () => {
    test.skip('skipped: this server offers no timescaledb', () => {})
  })
