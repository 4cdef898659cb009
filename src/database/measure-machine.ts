import { availableParallelism, totalmem } from 'node:os'
import type { Machine } from './server-settings.ts'

/** The machine that this process runs on, or the part of it that its control group leaves it. */
export function measureMachine(): Machine {
  // A container's limit, where there is one; the kernel reports "none" as a number beyond any memory.
  const memoryBytes = Math.min(totalmem(), process.constrainedMemory() || Number.POSITIVE_INFINITY)
  return { memoryBytes, processors: availableParallelism() }
}
