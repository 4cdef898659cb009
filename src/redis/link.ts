import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { createClient, createCluster, type BasicPooledClientSideCache } from 'redis'
import { tlsOptions, type RedisAddress, type RedisNode } from './address.ts'
import { findMaster, isReplaced } from './sentinel.ts'

const MASTER_CHECK_MS = 1_000

export type RedisClient = ReturnType<typeof makeClient>
type RedisCluster = ReturnType<typeof makeCluster>

/** The commands that single servers and clusters share. Keys that one command or script touches together carry the same `{tag}`. */
export type RedisCommands = Omit<
  Pick<RedisClient, keyof RedisClient & keyof RedisCluster>,
  | keyof NodeJS.EventEmitter
  | `_${string}`
  | 'connect'
  | 'close'
  | 'destroy'
  | 'quit'
  | 'disconnect'
  | 'duplicate'
  | 'isOpen'
  | 'isReady'
  | 'options'
  | 'subscribe'
  | 'unsubscribe'
  | 'pSubscribe'
  | 'pUnsubscribe'
  | 'sSubscribe'
  | 'sUnsubscribe'
  | 'SUBSCRIBE'
  | 'UNSUBSCRIBE'
  | 'PSUBSCRIBE'
  | 'PUNSUBSCRIBE'
  | 'SSUBSCRIBE'
  | 'SUNSUBSCRIBE'
  | 'multi'
  | 'MULTI'
  | 'sendCommand'
  | 'withCommandOptions'
  | 'withTypeMapping'
  | 'clientSideCache'
  | 'json'
  | 'ft'
  | 'bf'
  | 'cms'
  | 'cf'
  | 'tDigest'
  | 'topK'
  | 'ts'
>

export interface LinkOptions {
  readonly address: RedisAddress
  readonly clientName: string
  /** Until a connection is made and answers. */
  readonly connectTimeoutMs: number
  /** Most commands that wait for an answer. */
  readonly queueLength: number
  /** Commands that read are answered from this, and the server tells it what changed. */
  readonly clientSideCache?: BasicPooledClientSideCache
  readonly signal: AbortSignal
}

/** A connection that lives once: to one server, or to the masters of a cluster. */
export interface Link {
  readonly commands: RedisCommands
  /** Of the server, or of all masters in the order of their ids. Empty while a master that has just connected has not been asked yet. */
  readonly runId: string
  /** Asks every server. Rejects where one does not answer, or is not what it should be. */
  probe(): Promise<void>
  /** Resolves when the connection is over, with the reason. */
  readonly ended: Promise<Error>
  close(): void
}

/** Connects, and learns the run ids. @throws Error of the driver, or of {@link findMaster}. */
export async function openLink(options: LinkOptions): Promise<Link> {
  const { address } = options
  if (address.kind === 'cluster') return await new ClusterLink(makeCluster(options), options).open()
  const node = address.kind === 'sentinel' ? await findMaster(address, options) : address.nodes[0]!
  const client = await openClient(options, node)
  try {
    const runId = await within(readRunId(client), options.connectTimeoutMs)
    if (address.kind === 'sentinel') {
      await within(requireMaster(client), options.connectTimeoutMs)
      void watchMaster(client, options, node)
    }
    return {
      commands: client,
      runId,
      ended: ended(client),
      probe: async () => void (await client.ping()),
      close: () => closeClient(client),
    }
  } catch (error) {
    closeClient(client)
    throw error
  }
}

/** A client of one server that connects once: when that is over, it does not come back. */
export async function openClient(options: LinkOptions, node: RedisNode): Promise<RedisClient> {
  const client = makeClient(options, node)
  // An error without a listener would end the process; every one is also the end of the connection, or a rejection.
  client.on('error', () => {})
  try {
    await within(client.connect(), options.connectTimeoutMs, options.signal)
    return client
  } catch (error) {
    closeClient(client)
    throw error
  }
}

/** Resolves when a client is over, with the reason. */
export async function ended(client: RedisClient): Promise<Error> {
  const over = new AbortController()
  const { signal } = over
  try {
    const [cause] = (await Promise.race([
      once(client, 'terminated', { signal }),
      once(client, 'end', { signal }),
    ])) as [Error?]
    return cause ?? new Error('The connection was closed.')
  } catch (error) {
    return error as Error
  } finally {
    over.abort()
  }
}

export function closeClient(client: { destroy(): void }): void {
  try {
    client.destroy()
  } catch {
    // It was closed already.
  }
}

/** Rejects when it takes longer, or is no longer wanted. What was begun is not ended by that. */
export async function within<T>(work: Promise<T>, timeoutMs: number, signal?: AbortSignal): Promise<T> {
  const over = new AbortController()
  const stop = signal === undefined ? over.signal : AbortSignal.any([over.signal, signal])
  work.catch(() => {})
  try {
    return await Promise.race([
      work,
      sleep(timeoutMs, undefined, { signal: stop }).then(() => {
        throw new Error(`no answer within ${timeoutMs} ms`)
      }),
    ])
  } finally {
    over.abort()
  }
}

/** Ends the connection to a master that is one no longer. */
async function watchMaster(client: RedisClient, options: LinkOptions, node: RedisNode): Promise<void> {
  const { address, signal } = options
  while (client.isOpen) {
    await sleep(MASTER_CHECK_MS, undefined, { signal }).catch(() => {})
    if (client.isOpen && (await isReplaced(address, node, options))) closeClient(client)
  }
}

function makeClient(options: LinkOptions, node: RedisNode) {
  const { address } = options
  return createClient({
    ...address.credentials,
    ...commonOptions(options),
    socket: {
      ...node,
      connectTimeout: options.connectTimeoutMs,
      reconnectStrategy: false,
      ...tlsOptions(address.tls),
    },
    database: address.kind === 'cluster' ? 0 : address.database,
    ...(options.clientSideCache === undefined ? {} : { clientSideCache: options.clientSideCache }),
  })
}

function makeCluster(options: LinkOptions) {
  const { address, connectTimeoutMs } = options
  const common = { ...address.credentials, ...commonOptions(options) }
  const reconnectStrategy = (retries: number): number =>
    Math.min(1_000, 25 * 2 ** Math.min(retries, 6)) * (0.5 + Math.random() / 2)
  return createCluster({
    rootNodes: address.nodes.map((node) => ({
      ...common,
      socket: { ...node, connectTimeout: connectTimeoutMs, ...tlsOptions(address.tls) },
    })),
    defaults: {
      ...common,
      socket: { connectTimeout: connectTimeoutMs, reconnectStrategy, ...tlsOptions(address.tls) },
    },
    // A master that was replaced is looked for soon: commands for its slots fail until then.
    topologyRefreshOnReconnectionAttemptStrategy: 250,
    maxCommandRedirections: 4,
    ...(options.clientSideCache === undefined ? {} : { clientSideCache: options.clientSideCache }),
  })
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
      await within(this.#readRunIds(), this.#options.connectTimeoutMs)
    } catch (error) {
      this.close()
      throw error
    }
    this.#cluster.on('node-ready', () => this.#doubt())
    return this
  }

  get commands(): RedisCommands {
    return this.#cluster
  }

  get runId(): string {
    return this.#runId
  }

  async probe(): Promise<void> {
    await this.#readRunIds()
  }

  close(): void {
    closeClient(this.#cluster)
    this.#end(new Error('The connection was closed.'))
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

function commonOptions(options: LinkOptions) {
  return {
    RESP: 3 as const,
    name: options.clientName,
    disableOfflineQueue: true,
    commandsQueueMaxLength: options.queueLength,
    disableClientInfo: true,
    maintNotifications: 'disabled' as const,
  }
}

/** Sentinels that have just been started may still name the old one. */
async function requireMaster(client: RedisClient): Promise<void> {
  const role = (await client.role())?.role
  if (role !== 'master') throw new Error(`the Sentinels name as master one that says it is a ${role}`)
}

async function readRunId(client: RedisClient): Promise<string> {
  const runId = /^run_id:(\w+)/m.exec(await client.info('server'))?.[1]
  if (runId === undefined) throw new Error('INFO of the server has no run_id')
  return runId
}
