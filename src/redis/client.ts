import { once } from 'node:events'
import { createClient, type BasicPooledClientSideCache } from 'redis'
import { tlsOptions, type RedisAddress, type RedisNode } from './address.ts'
import { within } from './within.ts'

/** The driver's client of one server. */
export type RedisClient = ReturnType<typeof makeClient>

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

/** A client that is connected once, and does not come back. */
export interface OpenClient {
  readonly client: RedisClient
  /** Resolves when the connection is over, with the reason. */
  readonly over: Promise<Error>
}

/** Connects to one server. @throws Error of the driver. */
export async function openClient(options: LinkOptions, node: RedisNode): Promise<OpenClient> {
  const client = makeClient(options, node)
  // An error without a listener would end the process; every one is also the end of the connection, or a rejection.
  client.on('error', () => {})
  const over = ended(client)
  try {
    await within(client.connect(), options.connectTimeoutMs, options.signal)
    return { client, over }
  } catch (error) {
    closeClient(client)
    throw error
  }
}

async function ended(client: RedisClient): Promise<Error> {
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

/** What every client is made with, of a single server or of a Cluster. */
export function commonOptions(options: LinkOptions) {
  return {
    RESP: 3 as const,
    name: options.clientName,
    disableOfflineQueue: true,
    commandsQueueMaxLength: options.queueLength,
    disableClientInfo: true,
    maintNotifications: 'disabled' as const,
  }
}

/** The run id of the server. @throws Error where it does not answer, or the user may not ask. */
export async function readRunId(client: RedisClient): Promise<string> {
  const runId = /^run_id:(\w+)/m.exec(await client.info('server'))?.[1]
  if (runId === undefined) throw new Error('INFO of the server has no run_id')
  return runId
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
