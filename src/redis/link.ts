import { setTimeout as sleep } from 'node:timers/promises'
import type { RedisNode } from './address.ts'
import { closeClient, openClient, readRunId, type LinkOptions, type RedisClient } from './client.ts'
import { openCluster } from './cluster-link.ts'
import type { RedisCommands } from './commands.ts'
import { findMaster, isReplaced } from './sentinel.ts'
import { within } from './within.ts'

const MASTER_CHECK_MS = 1_000

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
  if (address.kind === 'cluster') return await openCluster(options)
  const node = address.kind === 'sentinel' ? await findMaster(address, options) : address.nodes[0]!
  const { client, over } = await openClient(options, node)
  const { promise: closed, resolve } = Promise.withResolvers<Error>()
  const close = (reason: string): void => {
    closeClient(client)
    resolve(new Error(reason))
  }
  try {
    const runId = await within(readRunId(client), options.connectTimeoutMs)
    if (address.kind === 'sentinel') await within(requireMaster(client), options.connectTimeoutMs)
    // One that is still loading its data answers much, but not this.
    await within(client.ping(), options.connectTimeoutMs)
    if (address.kind === 'sentinel') void watchMaster(client, options, node, close)
    return {
      commands: client,
      runId,
      ended: Promise.race([over, closed]),
      probe: async () => void (await client.ping()),
      close: () => close('The connection was closed.'),
    }
  } catch (error) {
    closeClient(client)
    throw error
  }
}

/** Ends the connection to a master that is one no longer. */
async function watchMaster(
  client: RedisClient,
  options: LinkOptions,
  node: RedisNode,
  close: (reason: string) => void,
): Promise<void> {
  const { address, signal } = options
  while (client.isOpen && !signal.aborted) {
    await sleep(MASTER_CHECK_MS, undefined, { signal }).catch(() => {})
    if (client.isOpen && (await isReplaced(address, node, options)))
      close('the Sentinels name another master')
  }
}

/** Sentinels that have just been started may still name the old one. */
async function requireMaster(client: RedisClient): Promise<void> {
  const role = (await client.role())?.role
  if (role !== 'master') throw new Error(`the Sentinels name as master one that says it is a ${role}`)
}
