import { createClient } from 'redis'
import { NomalyError } from '../errors.ts'
import { tlsOptions, type RedisAddress, type RedisNode } from './address.ts'
import { closeClient } from './client.ts'
import { within } from './within.ts'

type SentinelAddress = Extract<RedisAddress, { kind: 'sentinel' }>

/**
 * Asks the Sentinels, one after the other, who the master is now (Redis: Guidelines for Sentinel clients). Not the driver's own client: that one
 * repeats commands whose outcome is unknown, and waits for seconds inside a command.
 * @throws NomalyError `unavailable` that says what each of them answered.
 */
export async function findMaster(
  address: SentinelAddress,
  { connectTimeoutMs, signal }: { connectTimeoutMs: number; signal: AbortSignal },
): Promise<RedisNode> {
  const answers: string[] = []
  for (const node of address.nodes) {
    signal.throwIfAborted()
    try {
      const master = await within(askSentinel(address, node, connectTimeoutMs), connectTimeoutMs, signal)
      if (master !== undefined) return master
      answers.push(`${node.host}:${node.port} knows no master ${address.master}`)
    } catch (error) {
      answers.push(`${node.host}:${node.port}: ${(error as Error).message}`)
    }
  }
  throw new NomalyError('unavailable', `No Sentinel names the master: ${answers.join('; ')}`)
}

/** Whether the Sentinels name another master than this one. A master that was cut off and replaced does not know it; they do. */
export async function isReplaced(
  address: RedisAddress,
  node: RedisNode,
  options: { connectTimeoutMs: number; signal: AbortSignal },
): Promise<boolean> {
  if (address.kind !== 'sentinel') return false
  const master = await findMaster(address, options).catch(() => node)
  return master.host !== node.host || master.port !== node.port
}

async function askSentinel(
  address: SentinelAddress,
  node: RedisNode,
  connectTimeout: number,
): Promise<RedisNode | undefined> {
  const client = createClient({
    ...address.sentinelCredentials,
    RESP: 3,
    disableClientInfo: true,
    maintNotifications: 'disabled',
    socket: { ...node, connectTimeout, reconnectStrategy: false, ...tlsOptions(address.tls) },
  })
  client.on('error', () => {})
  // Also when nobody waits for it any more.
  const over = setTimeout(() => closeClient(client), connectTimeout)
  try {
    await client.connect()
    const answer = await client.sendCommand<unknown>(['SENTINEL', 'GET-MASTER-ADDR-BY-NAME', address.master])
    if (!Array.isArray(answer)) return undefined
    return { host: String(answer[0]), port: Number(answer[1]) }
  } finally {
    clearTimeout(over)
    closeClient(client)
  }
}
