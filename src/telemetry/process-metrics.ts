import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'
import { type MeasuredDatabase, measurePools } from './pool-metrics.ts'

/** What a process measures of itself, for Prometheus. */
export interface ProcessMetrics {
  readonly registry: Registry
  readonly requestSeconds: Histogram<'method' | 'route' | 'status'>
  readonly pointsInserted: Counter
  readonly taskSeconds: Histogram<'task' | 'outcome'>
  /** Listeners to events that are connected now. */
  readonly eventStreams: Gauge<'transport'>
  readonly eventStreamsDropped: Counter<'transport' | 'reason'>
  /** What the reconcile task removed. */
  readonly orphansRemoved: Counter<'what'>
  /** What the reconcile task found when it last looked. */
  readonly orphansFound: Gauge<'what'>
  /** 1 where the reconcile task removes nothing, since a database looks as if restored to an older state. */
  readonly reconcileHalted: Gauge
}

/** The parts of a store that are asked whenever the metrics are read. */
export interface MeasuredStore {
  readonly database: MeasuredDatabase
  readonly metricsDatabase: MeasuredDatabase
  /** Whether these are two. */
  readonly hasMetricsApart: boolean
  /** How often reads through the cache were answered from where. */
  readonly cache: { readonly counts: { readonly [from: string]: number } }
}

/** Creates the metrics of a process that works on this store. */
export function createProcessMetrics(store: MeasuredStore): ProcessMetrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry, prefix: 'nomaly_' })
  measurePools(registry, [
    ['core', store.database],
    ...(store.hasMetricsApart ? [['metrics', store.metricsDatabase] as const] : []),
  ])
  new Counter({
    name: 'nomaly_cache_reads_total',
    help: 'Reads through the cache, by where they were answered from: this process, what processes share, what was just replaced, the database, or that past the cache',
    labelNames: ['from'],
    registers: [registry],
    collect() {
      this.reset()
      for (const [from, count] of Object.entries(store.cache.counts)) this.inc({ from }, count)
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
    eventStreams: new Gauge({
      name: 'nomaly_event_listeners',
      help: 'Listeners to events that are connected to this process',
      labelNames: ['transport'],
      registers: [registry],
    }),
    eventStreamsDropped: new Counter({
      name: 'nomaly_event_listeners_dropped_total',
      help: 'Listeners to events that this process has let go, by reason',
      labelNames: ['transport', 'reason'],
      registers: [registry],
    }),
    orphansRemoved: new Counter({
      name: 'nomaly_reconcile_removed_total',
      help: 'Sources of points without a dataset, and states of detectors without a series, that were removed',
      labelNames: ['what'],
      registers: [registry],
    }),
    orphansFound: new Gauge({
      name: 'nomaly_reconcile_orphans',
      help: 'Sources of points without a dataset, and states of detectors without a series, when this process last looked',
      labelNames: ['what'],
      registers: [registry],
    }),
    reconcileHalted: new Gauge({
      name: 'nomaly_reconcile_halted',
      help: '1 where nothing is removed, since a database looks as if it were restored to an older state',
      registers: [registry],
    }),
  }
}
