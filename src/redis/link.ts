import { setTimeout as sleep } from 'node:timers/promises'
import type { RedisNode } from './address.ts'
import { closeClient, ended, openClient, readRunId, type LinkOptions, type RedisClient } from './client.ts'
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

/** Ends the connection to a master that is one no longer. */
async function watchMaster(client: RedisClient, options: LinkOptions, node: RedisNode): Promise<void> {
  const { address, signal } = options
  while (client.isOpen) {
    await sleep(MASTER_CHECK_MS, undefined, { signal }).catch(() => {})
    if (client.isOpen && (await isReplaced(address, node, options))) closeClient(client)
  }
}

/** Sentinels that have just been started may still name the old one. */
async function requireMaster(client: RedisClient): Promise<void> {
  const role = (await client.role())?.role
  if (role !== 'master') throw new Error(`the Sentinels name as master one that says it is a ${role}`)
}
