import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os'
import { readVersion } from '../src/version.ts'

/** What a result was measured on. */
export interface Hardware {
  readonly cpu: string
  readonly cores: number
  readonly memoryGb: number
  readonly system: string
  /** Of the minute before: others' work on a shared machine makes figures worse. */
  readonly loadAverage: number
}

export function describeHardware(): Hardware {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: availableParallelism(),
    memoryGb: Math.round(totalmem() / 1024 ** 3),
    system: `${process.platform} ${process.arch} ${release()}`,
    loadAverage: Number((loadavg()[0] ?? 0).toFixed(2)),
  }
}

export function describeVersions(): Record<string, string> {
  return { nomaly: readVersion(), node: process.versions.node }
}
