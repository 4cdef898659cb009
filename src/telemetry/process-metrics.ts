import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'

/** What a process measures of itself, for Prometheus. */
export interface ProcessMetrics {
  readonly registry: Registry
  readonly requestSeconds: Histogram<'method' | 'route' | 'status'>
  readonly pointsInserted: Counter
  readonly taskSeconds: Histogram<'task' | 'outcome'>
}

/** Creates the metrics; `poolUse` is asked whenever they are read. */
export function createProcessMetrics(
  poolUse: () => { readonly total: number; readonly idle: number; readonly waiting: number },
): ProcessMetrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry, prefix: 'nomaly_' })
  new Gauge({
    name: 'nomaly_database_connections',
    help: 'Connections of the pool, by state; waiting counts callers',
    labelNames: ['state'],
    registers: [registry],
    collect() {
      for (const [state, count] of Object.entries(poolUse())) this.set({ state }, count)
    },
  })

  return {
    registry,
    requestSeconds: new Histogram({
      name: 'nomaly_http_request_duration_seconds',
      help: 'Time from the first byte of a request to the last of its answer',
      labelNames: ['method', 'route', 'status'],
      buckets: [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10],
      registers: [registry],
    }),
    pointsInserted: new Counter({
      name: 'nomaly_points_inserted_total',
      help: 'Points stored by this process over HTTP',
      registers: [registry],
    }),
    taskSeconds: new Histogram({
      name: 'nomaly_task_duration_seconds',
      help: 'Time that a task of the queue took',
      labelNames: ['task', 'outcome'],
      buckets: [0.01, 0.05, 0.1, 0.5, 1, 5, 30, 120, 600],
      registers: [registry],
    }),
  }
}
