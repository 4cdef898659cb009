import { parseRedisUrl } from './address.ts'
import { closeClient, type LinkOptions, openClient, type RedisClient } from './client.ts'
import { findMaster } from './sentinel.ts'

/** A connection of its own to each server that takes writes: for what goes through all that is there, or is about the servers themselves. */
export interface RedisMasters extends AsyncDisposable {
  readonly clients: readonly RedisClient[]
}

/** Connects to the server of a Redis URL, the master that its Sentinels name, or all masters of its Cluster. @throws Error of the driver. */
export async function openMasters(
  url: string,
  { connectTimeoutMs, signal }: { readonly connectTimeoutMs: number; readonly signal: AbortSignal },
): Promise<RedisMasters> {
  const address = parseRedisUrl(url)
  const options: LinkOptions = {
    address,
    clientName: 'nomaly-erase',
    connectTimeoutMs,
    queueLength: 1_000,
    signal,
  }
  const clients: RedisClient[] = []
  const dispose = async (): Promise<void> => {
    for (const client of clients) closeClient(client)
  }
  try {
    if (address.kind === 'sentinel') {
      clients.push((await openClient(options, await findMaster(address, options))).client)
      return { clients, [Symbol.asyncDispose]: dispose }
    }
    const { client } = await openClient(options, address.nodes[0]!)
    clients.push(client)
    if (address.kind === 'cluster') {
      const nodes = await readMasters(client)
      closeClient(clients.pop()!)
      for (const node of nodes) clients.push((await openClient(options, node)).client)
    }
    return { clients, [Symbol.asyncDispose]: dispose }
  } catch (error) {
    await dispose()
    throw error
  }
}

/** Every master that has slots (Redis: CLUSTER SLOTS). */
async function readMasters(client: RedisClient): Promise<{ host: string; port: number }[]> {
  const slots = await client.clusterSlots()
  const masters = new Map(slots.map(({ master }) => [`${master.host}:${master.port}`, master]))
  return [...masters.values()].map(({ host, port }) => ({ host, port }))
}
