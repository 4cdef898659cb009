import { Counter, Gauge, Histogram, type Registry } from 'prom-client'

/** How a share of a pool is used; refusals are counted by their reason. */
export interface MeasuredBudget {
  readonly inUse: number
  readonly waiting: number
  readonly refused: Readonly<Record<string, number>>
}

/** How a pool of connections is used. */
export interface PoolUse {
  readonly total: number
  readonly idle: number
  readonly waiting: number
  readonly budgets: Readonly<Record<string, MeasuredBudget>>
  readonly leaks: number
}

/** A database whose pool is measured. */
export interface MeasuredDatabase {
  readonly poolUse: PoolUse
  readonly retryCounts: Readonly<Record<string, number>>
  onWait(listener: (budget: string, waitedMs: number) => void): void
}

const WAIT_BUCKETS = [0.001, 0.005, 0.02, 0.1, 0.5, 1, 2.5, 5, 10, 30]

/** Measures the pools of a process; `databases` by name. */
export function measurePools(
  registry: Registry,
  databases: readonly (readonly [string, MeasuredDatabase])[],
): void {
  const registers = [registry]
  new Gauge({
    name: 'nomaly_database_connections',
    help: 'Connections of the pool to each database, by state; waiting counts callers',
    labelNames: ['database', 'state'],
    registers,
    collect() {
      for (const [database, { poolUse }] of databases)
        for (const state of ['total', 'idle', 'waiting'] as const)
          this.set({ database, state }, poolUse[state])
    },
  })
  new Gauge({
    name: 'nomaly_database_budget_connections',
    help: 'Connections that requests (web), tasks (work) and maintenance have in use, and callers of each that wait for one',
    labelNames: ['database', 'budget', 'state'],
    registers,
    collect() {
      for (const [database, { poolUse }] of databases)
        for (const [budget, { inUse, waiting }] of Object.entries(poolUse.budgets)) {
          this.set({ database, budget, state: 'in_use' }, inUse)
          this.set({ database, budget, state: 'waiting' }, waiting)
        }
    },
  })
  new Counter({
    name: 'nomaly_database_refused_total',
    help: 'Callers that got no connection: too many waited (full), the wait would have been too long (hopeless), or was (late)',
    labelNames: ['database', 'budget', 'reason'],
    registers,
    collect() {
      this.reset()
      for (const [database, { poolUse }] of databases)
        for (const [budget, { refused }] of Object.entries(poolUse.budgets))
          for (const [reason, count] of Object.entries(refused)) this.inc({ database, budget, reason }, count)
    },
  })
  new Counter({
    name: 'nomaly_database_leaks_total',
    help: 'Connections that were ended since they were held for too long without a statement',
    labelNames: ['database'],
    registers,
    collect() {
      this.reset()
      for (const [database, { poolUse }] of databases) this.inc({ database }, poolUse.leaks)
    },
  })
  new Counter({
    name: 'nomaly_database_retries_total',
    help: 'Transactions that were run again, after a collision with another one or the loss of their server',
    labelNames: ['database', 'reason'],
    registers,
    collect() {
      this.reset()
      for (const [database, { retryCounts }] of databases)
        for (const [reason, count] of Object.entries(retryCounts)) this.inc({ database, reason }, count)
    },
  })
  const waits = new Histogram({
    name: 'nomaly_database_wait_seconds',
    help: 'Time until a caller got its connection',
    labelNames: ['database', 'budget'],
    buckets: WAIT_BUCKETS,
    registers,
  })
  for (const [database, measured] of databases)
    measured.onWait((budget, waitedMs) => waits.observe({ database, budget }, waitedMs / 1000))
}
