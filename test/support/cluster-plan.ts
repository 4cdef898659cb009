import { createServer } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'

import type { Cluster, Member, Places } from '../../src/operations/deploy/cluster.ts'
import type { Preset, Timing } from '../../src/operations/deploy/preset.ts'

export interface LocalPlanOptions {
  readonly folder: string
  readonly binaries: string
  readonly preset: Preset
  readonly timing: Timing
  readonly maxLagBytes: number
  readonly withRedis: boolean
  readonly withPooler: boolean
  /** Ports that proxies to the databases listen on, once it is known where these are. */
  readonly proxyTo: (port: number) => Promise<number>
}

const HOST = '127.0.0.1'
const MEMBERS = [1, 2, 3]

/** A cluster whose members are processes of this machine, each with a folder and ports of its own. */
export async function planLocalCluster(options: LocalPlanOptions): Promise<Cluster> {
  const { folder, binaries, preset, timing, maxLagBytes } = options
  const ports = await freePorts(32)
  const port = (): number => ports.pop()!
  const member = (name: string): Member => ({
    name,
    places: placesIn(join(folder, name)),
    listenHost: HOST,
    host: HOST,
    port: port(),
  })
  const databases = await Promise.all(
    MEMBERS.map(async (index) => {
      const database = { ...member(`db${index}`), restPort: port() }
      const connectAddress = { host: HOST, port: await options.proxyTo(database.port) }
      return { ...database, connectAddress }
    }),
  )
  const redis = options.withRedis ? MEMBERS.map((index) => member(`redis${index}`)) : []
  const sentinels = options.withRedis ? MEMBERS.map((index) => member(`sentinel${index}`)) : []
  return {
    name: 'nomaly',
    preset,
    timing,
    maxLagBytes,
    etcd: MEMBERS.map((index) => ({ ...member(`etcd${index}`), peerPort: port() })),
    databases,
    balancers: [
      {
        name: 'balancer1',
        places: placesIn(join(folder, 'balancer1')),
        listenHost: HOST,
        host: HOST,
        primaryPort: port(),
        replicasPort: port(),
        apiPort: port(),
        apiListenHost: HOST,
        healthPort: port(),
      },
    ],
    poolers: options.withPooler ? [member('pooler1')] : [],
    redis,
    sentinels,
    // Where the test starts some, they listen here.
    apis: [member('api1'), member('api2')],
    workers: [],
    operators: [{ name: 'operator1', places: placesIn(join(folder, 'operator1')) }],
    clientNetworks: [`${HOST}/32`],
    binaries,
    databaseMemoryBytes: 256 * 1_048_576,
    publicUrl: 'https://localhost',
    watchdog: 'off',
  }
}

function placesIn(folder: string): Places {
  return { config: join(folder, 'config'), data: join(folder, 'data'), run: join(folder, 'run') }
}

/** Ports that are free now, all different, below those that the system gives out by itself. */
async function freePorts(count: number): Promise<number[]> {
  const taken: { port: number; close: () => Promise<void> }[] = []
  while (taken.length < count) {
    const candidate = 10_000 + Math.floor(Math.random() * 20_000)
    const server = createServer()
    const listening = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false))
      server.listen(candidate, HOST, () => resolve(true))
    })
    if (!listening) continue
    const close = async (): Promise<void> => {
      server.close()
      await once(server, 'close')
    }
    taken.push({ port: candidate, close })
  }
  for (const { close } of taken) await close()
  return taken.map(({ port }) => port)
}
