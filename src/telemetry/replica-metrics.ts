import { Counter, Gauge, type Registry } from 'prom-client'

/** A database, and its standbys where it has some. */
export interface MeasuredReplicas {
  readonly replicas?:
    | {
        readonly report: readonly {
          readonly name: string
          readonly isInRotation: boolean
          readonly lagMs: number
          readonly reads: number
        }[]
        readonly counts: {
          readonly primary: number
          readonly waited: number
          readonly waitedInVain: number
          readonly failed: number
        }
      }
    | undefined
}

/** How far standbys are behind, and where reads are made; nothing where there are no standbys. */
export function measureReplicas(
  registry: Registry,
  all: readonly (readonly [name: string, database: MeasuredReplicas])[],
): void {
  const databases = all.flatMap(([database, { replicas }]) =>
    replicas === undefined ? [] : [{ database, replicas }],
  )
  if (databases.length === 0) return
  const standbys = (): ({ database: string } & Replicas['report'][number])[] =>
    databases.flatMap(({ database, replicas }) => replicas.report.map((one) => ({ database, ...one })))
  new Gauge({
    name: 'nomaly_replica_in_rotation',
    help: '1 for a standby that is asked for reads, 0 for one that is away or too far behind',
    labelNames: ['database', 'replica'],
    registers: [registry],
    collect() {
      for (const { database, name, isInRotation } of standbys())
        this.set({ database, replica: name }, isInRotation ? 1 : 0)
    },
  })
  new Gauge({
    name: 'nomaly_replica_lag_seconds',
    help: 'For how long the primary has been past what a standby has replayed, when that was last asked',
    labelNames: ['database', 'replica'],
    registers: [registry],
    collect() {
      for (const { database, name, lagMs } of standbys()) this.set({ database, replica: name }, lagMs / 1_000)
    },
  })
  new Counter({
    name: 'nomaly_database_reads_total',
    help: 'Reads by where they were made: on the primary or on which standby',
    labelNames: ['database', 'place'],
    registers: [registry],
    collect() {
      this.reset()
      for (const { database, replicas } of databases)
        this.inc({ database, place: 'primary' }, replicas.counts.primary)
      for (const { database, name, reads } of standbys()) this.inc({ database, place: name }, reads)
    },
  })
  new Counter({
    name: 'nomaly_replica_waits_total',
    help: 'Reads that waited for a standby to catch up, by how that ended; failed ones were not answered by a standby and were made on the primary',
    labelNames: ['database', 'outcome'],
    registers: [registry],
    collect() {
      this.reset()
      for (const { database, replicas } of databases) {
        const { waited, waitedInVain, failed } = replicas.counts
        this.inc({ database, outcome: 'caught up' }, waited)
        this.inc({ database, outcome: 'in vain' }, waitedInVain)
        this.inc({ database, outcome: 'failed' }, failed)
      }
    },
  })
}

type Replicas = NonNullable<MeasuredReplicas['replicas']>
