import { setTimeout as sleep } from 'node:timers/promises'

import { startTestRedis, type TestRedis } from './redis.ts'

const SLOTS = 16_384

/** A Redis Cluster of a test's own. */
export interface TestCluster extends AsyncDisposable {
  readonly masters: readonly TestRedis[]
  readonly url: string
}

/** Starts a Cluster of masters without replicas, among which the slots are shared evenly. */
export async function startTestCluster(size: number, further: readonly string[] = []): Promise<TestCluster> {
  await using stack = new AsyncDisposableStack()
  const masters: TestRedis[] = []
  const cluster = 'cluster-enabled yes cluster-config-file nodes.conf cluster-node-timeout 2000'.split(' ')
  const settings = cluster.map((word, index) => (index % 2 === 0 ? `--${word}` : word))
  for (let i = 0; i < size; i++) masters.push(stack.use(await startNode([...settings, ...further])))
  for (const [index, master] of masters.entries()) {
    const from = Math.floor((index * SLOTS) / size)
    const to = Math.floor(((index + 1) * SLOTS) / size) - 1
    await master.send(['CLUSTER', 'ADDSLOTSRANGE', String(from), String(to)])
    if (index > 0) await master.send(['CLUSTER', 'MEET', '127.0.0.1', String(masters[0]!.port)])
  }
  for (const master of masters) await untilWhole(master, size)
  const url = `redis+cluster://${masters.map(({ port }) => `127.0.0.1:${port}`).join(',')}`
  const resources = stack.move()
  return { masters, url, [Symbol.asyncDispose]: () => resources.disposeAsync() }
}

/** The port of the bus stands 10,000 above that of the clients: both are chosen below those that the system gives out by itself. */
async function startNode(settings: readonly string[]): Promise<TestRedis> {
  for (let tries = 1; ; tries++) {
    const port = 10_000 + Math.floor(Math.random() * 12_000)
    try {
      return await startTestRedis({ port, arguments: settings })
    } catch (error) {
      if (tries === 10 || !(error as Error).message.includes('already in use')) throw error
    }
  }
}

async function untilWhole(master: TestRedis, size: number): Promise<void> {
  for (let tries = 0; tries < 1_000; tries++) {
    const info = String(await master.send(['CLUSTER', 'INFO']))
    if (info.includes('cluster_state:ok') && info.includes(`cluster_size:${size}`)) return
    await sleep(20)
  }
  throw new Error('The cluster does not become whole.')
}
