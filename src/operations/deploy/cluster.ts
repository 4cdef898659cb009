import type { Preset, Timing } from './preset.ts'

/** Where the files of one process stand, as that process sees them. */
export interface Places {
  /** Configuration, certificate (`tls.crt`, `tls.key`, both in `tls.pem`) and authority (`ca.crt`): read only. */
  readonly config: string
  /** What it keeps. */
  readonly data: string
  /** Sockets and pid files. */
  readonly run: string
}

/** One process of a cluster. */
export interface Member {
  readonly name: string
  readonly places: Places
  /** The address that it binds. */
  readonly listenHost: string
  /** The name or address by which the others reach it. */
  readonly host: string
  readonly port: number
}

export interface EtcdMember extends Member {
  readonly peerPort: number
}

/** PostgreSQL with the Patroni that runs it. */
export interface DatabaseMember extends Member {
  readonly restPort: number
  /** Where standbys and clients find it, where that is not `host` and `port`: something that stands in between. */
  readonly connectAddress?: { readonly host: string; readonly port: number }
}

export interface BalancerMember extends Omit<Member, 'port'> {
  readonly primaryPort: number
  readonly replicasPort: number
  /** What the API is reached by, and the address it is bound to. */
  readonly apiPort: number
  readonly apiListenHost: string
  /** Its own health, without a secret in it. */
  readonly healthPort: number
}

/** A whole cluster: what every renderer reads, and nothing else. */
export interface Cluster {
  readonly name: string
  readonly preset: Preset
  readonly timing: Timing
  readonly maxLagBytes: number
  readonly etcd: readonly EtcdMember[]
  readonly databases: readonly DatabaseMember[]
  readonly balancers: readonly BalancerMember[]
  /** Empty where the cluster has no pooler. */
  readonly poolers: readonly Member[]
  /** The first is the master to begin with; empty where the cluster has no Redis. */
  readonly redis: readonly Member[]
  readonly sentinels: readonly Member[]
  readonly apis: readonly Member[]
  readonly workers: readonly Pick<Member, 'name' | 'places'>[]
  /** Where an operator's commands find all addresses. */
  readonly operators: readonly Pick<Member, 'name' | 'places'>[]
  /** Who may connect to PostgreSQL, as `pg_hba.conf` writes it: `samenet`, or networks such as `10.0.0.1/32`. */
  readonly clientNetworks: readonly string[]
  /** Where PostgreSQL's programs are. */
  readonly binaries: string
  /** Memory of each database, in bytes. */
  readonly databaseMemoryBytes: number
  /** How browsers reach it. */
  readonly publicUrl: string
  /** Addresses that requests reach the APIs from, where they are not the hosts of the balancers. */
  readonly proxyAddresses?: readonly string[]
  /** The name server that knows names which move, such as that of a container engine; `undefined` where hosts are addresses that stay. */
  readonly resolver?: string
  /** Whether a machine has a watchdog that resets it when Patroni hangs. */
  readonly watchdog: 'automatic' | 'off'
}

/** Passwords of a cluster by whose they are. */
export interface ClusterSecrets {
  /** PostgreSQL's superuser, used by Patroni alone. */
  readonly superuser: string
  readonly replication: string
  readonly rewind: string
  /** The login that migrates. */
  readonly admin: string
  /** The login of API and workers. */
  readonly application: string
  /** Of Patroni's REST API, where it changes something. */
  readonly patroni: string
  /** Of the default user of Redis: replicas and Sentinels. */
  readonly redis: string
  readonly redisApplication: string
  readonly sentinel: string
}

export const SECRET_NAMES = [
  'superuser',
  'replication',
  'rewind',
  'admin',
  'application',
  'patroni',
  'redis',
  'redisApplication',
  'sentinel',
] as const satisfies readonly (keyof ClusterSecrets)[]

/** The database and the logins in it. */
export const DATABASE_NAME = 'nomaly'
export const ADMIN_LOGIN = 'nomaly_admin'
export const APPLICATION_LOGIN = 'nomaly'
/** The user of Patroni's REST API. */
export const PATRONI_USER = 'nomaly'
/** What the Sentinels call the master. */
export const REDIS_MASTER = 'nomaly'
/** The user of API and workers in Redis. */
export const REDIS_USER = 'nomaly'

/** One file of a member's configuration folder. */
export interface ConfigFile {
  readonly name: string
  readonly text: string
  /** 0o600 for what holds a secret. */
  readonly mode: 0o600 | 0o644 | 0o755
  /** Whether the process rewrites it: then it is only where its copy among the data begins. */
  readonly isSeed?: boolean
}

/** `host:port`, with brackets where an IPv6 address needs them. */
export function hostPort(host: string, port: number): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`
}

/** A text as YAML writes it, whatever is in it: JSON is YAML. */
export function quoted(text: string): string {
  return JSON.stringify(text)
}
