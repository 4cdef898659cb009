import { describeMetricsEngine } from '../conformance/metrics-engine.ts'
import { makePartitionedEngine } from './partitioned-fixture.ts'

describeMetricsEngine('partitioned', makePartitionedEngine)
