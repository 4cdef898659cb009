import type { Cluster, Places } from './cluster.ts'

export type PartKind =
  | 'etcd'
  | 'database'
  | 'balancer'
  | 'pooler'
  | 'redis'
  | 'sentinel'
  | 'api'
  | 'worker'
  | 'operator'

/** One process of a cluster, as whoever starts it sees it. */
export interface Part {
  readonly kind: PartKind
  readonly name: string
  readonly places: Places
}

/** The account that each kind runs as: those that Debian's packages make, and one of Nomaly's own. */
export const ACCOUNTS: Readonly<Record<PartKind, string>> = {
  etcd: 'etcd',
  database: 'postgres',
  balancer: 'haproxy',
  pooler: 'postgres',
  redis: 'redis',
  sentinel: 'redis',
  api: 'nomaly',
  worker: 'nomaly',
  operator: 'root',
}

/**
 * Debian 12's packages with what is pinned of each: what is fixed in a stable release still comes in, nothing else does. The tests start
 * the same.
 */
export const PACKAGES: Readonly<Record<string, string>> = {
  patroni: '3.0.2-*',
  // Patroni speaks to etcd by these, which its package only recommends.
  'python3-etcd': '0.4.5-*',
  'python3-idna': '3.3-*',
  'postgresql-15': '15.*',
  'etcd-server': '3.4.23-*',
  'etcd-client': '3.4.23-*',
  haproxy: '2.6.12-*',
  pgbouncer: '1.18.0-*',
  'redis-server': '5:7.0.15-*',
  'redis-sentinel': '5:7.0.15-*',
}

/** All processes of a cluster, in the order in which they depend on one another. */
export function partsOf(cluster: Cluster): Part[] {
  const kinds: [PartKind, readonly { readonly name: string; readonly places: Places }[]][] = [
    ['etcd', cluster.etcd],
    ['database', cluster.databases],
    ['balancer', cluster.balancers],
    ['pooler', cluster.poolers],
    ['redis', cluster.redis],
    ['sentinel', cluster.sentinels],
    ['api', cluster.apis],
    ['worker', cluster.workers],
    ['operator', cluster.operators],
  ]
  return kinds.flatMap(([kind, members]) => members.map(({ name, places }) => ({ kind, name, places })))
}

/**
 * The command line of a part; an operator's has none.
 * @param program where `nomaly` is.
 */
export function commandOf({ kind, places }: Part, program: string): string[] {
  const { config, data } = places
  switch (kind) {
    case 'etcd':
      return ['/usr/bin/etcd', '--config-file', `${config}/etcd.yml`]
    case 'database':
      return ['/usr/bin/patroni', `${config}/patroni.yml`]
    case 'balancer':
      return ['/usr/sbin/haproxy', '-W', '-db', '-f', `${config}/haproxy.cfg`]
    case 'pooler':
      return ['/usr/sbin/pgbouncer', `${config}/pgbouncer.ini`]
    case 'redis':
      return ['/usr/bin/redis-server', `${data}/redis.conf`]
    case 'sentinel':
      return ['/usr/bin/redis-sentinel', `${data}/sentinel.conf`]
    case 'api':
      return [program, 'start', '--api-only']
    case 'worker':
      return [program, 'worker']
    case 'operator':
      return []
  }
}
