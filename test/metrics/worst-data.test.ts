import { describe, test } from 'vitest'
import { describeWorstData } from '../conformance/metrics-worst-data.ts'
import { makePartitionedEngine } from './partitioned-fixture.ts'
import { isTimescaleOffered, makeTimescaleEngine } from './timescale-fixture.ts'

describeWorstData('partitioned', makePartitionedEngine)

if (await isTimescaleOffered()) describeWorstData('timescale', () => makeTimescaleEngine())
else
  describe('worst data beside metrics engine timescale', () => {
    test.skip('skipped: this server offers no timescaledb', () => {})
  })
