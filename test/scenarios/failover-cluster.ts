import { loadConfig } from '../../src/config/load.ts'
import type { Config } from '../../src/config/profiles.ts'
import { Database } from '../../src/database/database.ts'
import type { ClusterSettings, ClusterView, Member } from '../../src/operations/failover/cluster-view.ts'
import { planDrill } from '../../src/operations/failover/drill-plan.ts'
import { PatroniClient } from '../../src/operations/failover/patroni-client.ts'
import { type DrillReport, runDrill } from '../../src/operations/failover/run-drill.ts'
import type { DrillKind, Strike } from '../../src/operations/failover/strike.ts'
import { migrateInstance } from '../../src/operations/open-instance.ts'
import { DatabaseCluster, type DatabaseClusterOptions } from '../support/cluster.ts'
import type { DatabaseNode } from '../support/database-node.ts'
import { eventually, startTestNomaly, type TestNomaly } from '../support/nomaly.ts'

/** A cluster with an installation on it, whose API and worker are never restarted. */
export interface FailoverFixture extends AsyncDisposable {
  readonly cluster: DatabaseCluster
  readonly nomaly: TestNomaly
  readonly patroni: PatroniClient
  /** As in `NOMALY_PATRONI_URLS`. */
  readonly patroniUrls: string
  /** Waits until the cluster is whole, drills, and reports. */
  drill(kind: DrillKind, strike?: Strike): Promise<DrillReport>
}

export async function startFailoverFixture(options: DatabaseClusterOptions): Promise<FailoverFixture> {
  await using stack = new AsyncDisposableStack()
  const cluster = stack.use(await DatabaseCluster.start(options))
  await migrateInstance(
    { adminUrl: cluster.adminUrl, applicationLogin: { name: new URL(cluster.applicationUrl).username } },
    'partitioned',
    () => {},
  )
  const databaseUrl = cluster.applicationUrl
  const patroniUrls = `${cluster.patroniUrls.join(',')}?ca=${cluster.authorityFile}`
  const patroni = new PatroniClient(patroniUrls)
  const name = new URL(databaseUrl).pathname.slice(1)
  const drop = async (): Promise<void> => {}
  const nomaly = stack.use(
    await startTestNomaly({
      on: { database: { adminUrl: cluster.adminUrl, name, drop, [Symbol.asyncDispose]: drop }, databaseUrl },
      config: { databasePoolSize: 12 },
    }),
  )
  const resources = stack.move()
  return {
    cluster,
    nomaly,
    patroni,
    patroniUrls,
    async drill(kind, strike = new ProcessStrike(cluster)) {
      await cluster.untilWhole()
      // Lags are told by the members themselves, a moment later, and what the drill before removes is a burst.
      let inARow = 0
      await eventually(async () => {
        inARow = fits(kind, await patroni.cluster(), await patroni.settings()) ? inARow + 1 : 0
        return inARow === CALM_LOOKS
      }, 60_000)
      return runDrill({
        store: nomaly.store,
        patroni,
        strike,
        kind,
        preset: cluster.plan.preset,
        openStraight: ({ port }) => straightTo(cluster, port),
        warmUpMs: 3_000,
        watchMs: 3_000,
        clock: Date.now,
        signal: AbortSignal.timeout(240_000),
      })
    },
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}

/** One each 50 ms and what it takes to ask: longer than Patroni's own loop. */
const CALM_LOOKS = 20

function fits(kind: DrillKind, view: ClusterView, settings: ClusterSettings): boolean {
  try {
    planDrill(kind, view, settings, undefined)
    return true
  } catch {
    return false
  }
}

/** Past the proxy of the replication links as well as past the balancer. */
function straightTo(cluster: DatabaseCluster, linkPort: number): Database {
  const node = nodeAt(cluster, linkPort)
  const { statementTimeoutMs, commitTimeoutMs }: Config = loadConfig({})
  return new Database({
    url: cluster.url(node.member, new URL(cluster.applicationUrl).username, 'application'),
    applicationName: 'nomaly drill',
    maxConnections: 2,
    acquireTimeoutMs: 2_000,
    statementTimeoutMs,
    commitTimeoutMs,
    log: () => {},
  })
}

/** Patroni knows a member by the address that others replicate from it by. */
function nodeAt(cluster: DatabaseCluster, linkPort: number): DatabaseNode {
  return cluster.nodes.find(({ member }) => (member.connectAddress ?? member).port === linkPort)!
}

/** Strikes processes by their ids; the link is cut by the proxy that the standbys replicate through. */
export class ProcessStrike implements Strike {
  readonly #cluster: DatabaseCluster
  readonly #patroni: 'freeze' | 'kill'

  /** @param patroni what becomes of Patroni where it alone is struck. */
  constructor(cluster: DatabaseCluster, patroni: 'freeze' | 'kill' = 'freeze') {
    this.#cluster = cluster
    this.#patroni = patroni
  }

  async cutReplication(leader: Member): Promise<boolean> {
    const { patroni, link } = nodeAt(this.#cluster, leader.port)
    // It goes down with the rest a moment later; alive, it may just tell the others that it has no standby, and nobody takes over.
    patroni.freeze()
    link.goAway()
    return true
  }

  async strike(kind: DrillKind, leader: Member): Promise<void> {
    const node = nodeAt(this.#cluster, leader.port)
    if (kind === 'kill') await node.kill()
    else if (kind === 'freeze') await node.freeze()
    else if (kind === 'etcd') await Promise.all(this.#cluster.etcd.map((etcd) => etcd.kill()))
    else if (this.#patroni === 'freeze') node.patroni.freeze()
    else await node.patroni.kill()
  }

  async heal(kind: DrillKind, leader: Member): Promise<void> {
    const node = nodeAt(this.#cluster, leader.port)
    node.link.comeBack()
    if (kind === 'etcd') {
      await Promise.all(this.#cluster.etcd.map(async (etcd) => etcd.isRunning || (await etcd.start())))
      return
    }
    await node.thaw()
    if (!node.patroni.isRunning) await node.start()
  }
}
