import { createCluster } from 'redis'
import { tlsOptions } from './address.ts'
import { backoffMs } from './backoff.ts'
import { closeClient, commonOptions, readRunId, type LinkOptions, type RedisClient } from './client.ts'
import type { RedisCommands } from './commands.ts'
import type { Link } from './link.ts'
import { within } from './within.ts'

/** The driver's client of a Cluster. */
export type RedisCluster = ReturnType<typeof makeCluster>

/** Connects to the masters of a Cluster, and learns their run ids. @throws Error of the driver. */
export async function openCluster(options: LinkOptions): Promise<Link> {
  return await new ClusterLink(makeCluster(options), options).open()
}

class ClusterLink implements Link {
  readonly ended: Promise<Error>
  readonly #cluster: RedisCluster
  readonly #options: LinkOptions
  #runId = ''
  /** How often a master has connected: what was read before the last one says nothing about it. */
  #arrivals = 0
  #end!: (cause: Error) => void

  constructor(cluster: RedisCluster, options: LinkOptions) {
    this.#cluster = cluster
    this.#options = options
    this.ended = new Promise((resolve) => (this.#end = resolve))
    cluster.on('error', () => {})
    cluster.on('node-error', () => {})
  }

  async open(): Promise<this> {
    try {
      await within(this.#cluster.connect(), this.#options.connectTimeoutMs, this.#options.signal)
      this.#cluster.on('node-ready', () => this.#doubt())
      await within(this.probe(), this.#options.connectTimeoutMs)
    } catch (error) {
      this.close()
      throw error
    }
    return this
  }

  get commands(): RedisCommands {
    return this.#cluster
  }

  get runId(): string {
    return this.#runId
  }

  async probe(): Promise<void> {
    // A master that answers may still refuse every key, while the Cluster is not whole.
    await Promise.all([
      this.#readRunIds(),
      ...this.#cluster.masters.map((master) => this.#requireWhole(master)),
    ])
  }

  close(): void {
    closeClient(this.#cluster)
    this.#end(new Error('The connection was closed.'))
  }

  async #requireWhole(master: RedisCluster['masters'][number]): Promise<void> {
    const state = await (await this.#cluster.nodeClient(master)).clusterInfo()
    if (!state.includes('cluster_state:ok')) throw new Error('the Cluster is not whole')
  }

  /** A master came, or came back: it may be another one, and may have lost what it had. */
  #doubt(): void {
    this.#runId = ''
    this.#arrivals++
    within(this.#readRunIds(), this.#options.connectTimeoutMs).catch(() => {})
  }

  async #readRunIds(): Promise<void> {
    const arrivals = this.#arrivals
    const masters = this.#cluster.masters.toSorted((a, b) => (a.id < b.id ? -1 : 1))
    const runIds = await Promise.all(
      masters.map(async (master) => readRunId((await this.#cluster.nodeClient(master)) as RedisClient)),
    )
    if (arrivals === this.#arrivals) this.#runId = runIds.join(',')
  }
}

function makeCluster(options: LinkOptions) {
  const { address, connectTimeoutMs } = options
  const common = { ...address.credentials, ...commonOptions(options) }
  return createCluster({
    rootNodes: address.nodes.map((node) => ({
      ...common,
      socket: { ...node, connectTimeout: connectTimeoutMs, ...tlsOptions(address.tls) },
    })),
    defaults: {
      ...common,
      socket: { connectTimeout: connectTimeoutMs, reconnectStrategy: backoffMs, ...tlsOptions(address.tls) },
    },
    // A master that was replaced is looked for soon: commands for its slots fail until then.
    topologyRefreshOnReconnectionAttemptStrategy: 250,
    maxCommandRedirections: 4,
    ...(options.clientSideCache === undefined ? {} : { clientSideCache: options.clientSideCache }),
  })
}
