/** What a client asks, over and over: reads alone, writes alone, or nine reads to a write. */
export const MIXES = {
  reads: ['read job', 'read user', 'read setting', 'list jobs'],
  writes: ['change job', 'make job', 'change setting'],
  mixed: [
    'read job',
    'read user',
    'read setting',
    'read job',
    'list jobs',
    'read user',
    'read setting',
    'read job',
    'read user',
    'change job',
  ],
} as const
export type Mix = keyof typeof MIXES
export type Act = (typeof MIXES)[Mix][number]

/** What is there beforehand. */
export const STOCK = { jobs: 2_000, users: 500, settings: 50 } as const

export interface Throughput {
  readonly perSecond: number
  /** Of a single act, 99 % within. */
  readonly p99Ms: number
}

/** A database with jobs, users and settings, which clients ask at the same time. */
export interface TransactionalSide extends AsyncDisposable {
  measure(mix: Mix, clients: number, seconds: number): Promise<Throughput>
}

/** Sums up what clients have done in a time. */
export function throughput(latenciesMs: readonly number[], seconds: number): Throughput {
  const sorted = latenciesMs.toSorted((a, b) => a - b)
  return { perSecond: sorted.length / seconds, p99Ms: sorted[Math.floor(sorted.length * 0.99)] ?? 0 }
}
