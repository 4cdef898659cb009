import { MemoryRateCounter } from '../../src/limits/memory-rate-counter.ts'
import { describeRateCounter } from '../conformance/rate-counter.ts'

describeRateCounter('memory', async () => new MemoryRateCounter())
