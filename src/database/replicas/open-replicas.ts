import { setTimeout } from 'node:timers/promises'
import type { DatabaseOptions } from '../database-options.ts'
import { CORE_DATABASE } from '../database-errors.ts'
import { ProbeConnection } from './probe-connection.ts'
import { ReplicaSet } from './replica-set.ts'
import { askPrimary, StandbyConnections } from './standby-connections.ts'

export interface ReplicaOptions {
  /** Of streaming standbys, each with a login that may do what the primary's may. */
  readonly urls: readonly string[]
  /** How long a read waits for a standby to catch up before it is made on the primary. */
  readonly waitMs: number
  /** A standby that is further behind is not asked until it has caught up. */
  readonly maxLagMs: number
}

/** The standbys of a database, with their pools, which end with it. */
export type Replicas<D extends AsyncDisposable> = ReplicaSet<StandbyConnections<D>>

/** How long a read waits for a connection to a standby, at most, before it is made on the primary. */
const STANDBY_ACQUIRE_MS = 2_000

/**
 * Opens pools to the standbys of a database, and begins to ask them and the primary how far they are; `undefined` where there are none. Those
 * that are away are no reason not to start.
 */
export function openReplicas<D extends AsyncDisposable>(
  options: DatabaseOptions,
  openPool: (options: DatabaseOptions) => D,
): Replicas<D> | undefined {
  const { replicas, log } = options
  if (replicas === undefined || replicas.urls.length === 0) return undefined
  const applicationName = `${options.applicationName} probe`
  const primary = new ProbeConnection(options.directUrl ?? options.url, applicationName, 'primary')
  const standbys = replicas.urls.map((url) => {
    const name = nameOf(url)
    const pool = openPool(standbyOptions(options, url, name))
    return new StandbyConnections(name, pool, new ProbeConnection(url, applicationName, 'any'))
  })
  const set = new ReplicaSet({
    ...replicas,
    askPrimary: () => askPrimary(primary),
    standbys,
    now: () => performance.now(),
    random: Math.random,
    sleep: (ms, signal) => setTimeout(ms, undefined, { ref: false, signal }).catch(() => {}),
    log,
    onDispose: async () => {
      await Promise.all([primary, ...standbys].map((one) => one[Symbol.asyncDispose]()))
    },
  })
  set.start()
  return set
}

/** A pool as that of the primary, which one waits for less. */
function standbyOptions(options: DatabaseOptions, url: string, name: string): DatabaseOptions {
  const { label = CORE_DATABASE, acquireTimeoutMs } = options
  // What is asked anew each time, such as how long statements may take, must stay so.
  return Object.assign(Object.create(options) as DatabaseOptions, {
    url,
    server: 'any',
    directUrl: undefined,
    label: { ...label, name: `standby ${name}` },
    acquireTimeoutMs: Math.min(acquireTimeoutMs, STANDBY_ACQUIRE_MS),
    replicas: undefined,
  })
}

/** A standby's address without what is secret in it. */
function nameOf(url: string): string {
  const { hostname, port } = new URL(url)
  return `${hostname === '' ? 'localhost' : hostname}:${port === '' ? '5432' : port}`
}
