import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { Database, type DatabaseOptions } from '../src/database/database.ts'
import { startEmbeddedServer } from '../src/database/embedded-server.ts'
import type { Freshness } from '../src/database/position.ts'
import { APPLICATION_LOGIN, urlForLogin } from '../src/operations/connection-urls.ts'
import { migrateInstance } from '../src/operations/open-instance.ts'
import { Replica } from '../test/support/replica.ts'
import type { Benchmark } from './benchmark.ts'
import { sideBySide } from './cache/side-by-side.ts'
import { atLeast, atMost, type Check, median, reported } from './checks.ts'
import { freePorts } from './instance.ts'
import { limitCpu } from './replicas/cpu-quota.ts'
import { runMix } from './replicas/read-mix.ts'

const SIZES = {
  full: { rounds: 40, mixMs: 10_000, turns: 3 },
  quick: { rounds: 10, mixMs: 3_000, turns: 1 },
} as const
const ROWS = 2_000
/** Of one core, for each of three servers: less than what they are measured with takes. */
const CORES_EACH = 0.25
const SYSTEM = { role: 'nomaly_system' } as const

/** What reads on standbys cost, and what they take off the primary. */
export const replicas: Benchmark = {
  summary: 'the router beside its reads, and a mix of reads with two standbys and without',
  async run({ quick, directory, signal, log }) {
    const size = quick ? SIZES.quick : SIZES.full
    await using stack = new AsyncDisposableStack()
    const [preferredPort] = await freePorts(1)
    const dataDirectory = join(directory, 'server')
    const server = stack.use(
      await startEmbeddedServer({
        dataDirectory,
        preferredPort: preferredPort!,
        log,
        signal,
        settings: { wal_keep_size: '256MB' },
      }),
    )
    const login = { name: APPLICATION_LOGIN, password: 'bench' }
    await migrateInstance({ adminUrl: server.adminUrl, applicationLogin: login }, 'partitioned', log)
    await ask(server.adminUrl, TABLE)
    const primary = { adminUrl: server.adminUrl, directory: join(dataDirectory, 'postgres') }
    const standbys = [stack.use(await Replica.follow(primary)), stack.use(await Replica.follow(primary))]
    const databaseUrl = urlForLogin(server.adminUrl, login.name, login.password)
    const options: DatabaseOptions = {
      url: databaseUrl,
      applicationName: 'nomaly bench',
      maxConnections: 16,
      acquireTimeoutMs: 10_000,
      statementTimeoutMs: 30_000,
      commitTimeoutMs: 15_000,
      log,
    }
    const alone = stack.use(new Database(options))
    const urls = standbys.map((standby) => standby.url(databaseUrl))
    const withStandbys = async (some: readonly string[]): Promise<Database> => {
      const replicaOptions = { urls: some, waitMs: 200, maxLagMs: 10_000 }
      const database = stack.use(new Database({ ...options, replicas: replicaOptions }))
      while (!database.replicas!.report.every(({ isInRotation }) => isInRotation)) await sleep(50)
      return database
    }
    const routed = await withStandbys(urls)
    const routedToOne = await withStandbys(urls.slice(0, 1))

    log('reads one by one …')
    const straight = stack.use(new Database({ ...options, url: urls[0]!, server: 'any' }))
    const checks = await measureRouter({ routed, routedToOne, alone, straight }, size.rounds)
    log(`a mix of reads, each server with ${CORES_EACH} of a core …`)
    for (const pid of [server.pid, ...standbys.map((standby) => standby.pid)])
      stack.use(await limitCpu(pid, CORES_EACH))
    checks.push(...(await measureMix(routed, alone, size, signal)))
    const [{ version }] = (await ask(
      server.adminUrl,
      `select current_setting('server_version') as version`,
    )) as [{ version: string }]
    return { checks, versions: { postgres: version } }
  },
}

const TABLE = `create table nomaly.counters (id integer primary key, value integer not null);
  insert into nomaly.counters select id, 0 from generate_series(1, ${ROWS}) id;
  grant select, update on nomaly.counters to nomaly_system`

async function measureRouter(
  {
    routed,
    routedToOne,
    alone,
    straight,
  }: Readonly<Record<'routed' | 'routedToOne' | 'alone' | 'straight', Database>>,
  rounds: number,
): Promise<Check[]> {
  const position = await alone.position()
  const set = routed.replicas!
  const route = (freshness: Freshness) => () => set.read({ freshness, primary: nothing, standby: nothing })
  const read = (database: Database, freshness: Freshness) => () =>
    database.read({ ...SYSTEM, freshness }, (connection) =>
      connection.batch(['select value from nomaly.counters where id = 1'], 'commit'),
    )
  await sleep(500)
  const before = set.counts.primary
  const [bare, after, bounded, onPrimary, onStandby, unchecked] = await sideBySide(rounds, [
    { times: 50_000, work: nothing },
    { times: 50_000, work: route({ after: position }) },
    { times: 50_000, work: route({ maxLagMs: 2_000 }) },
    { times: 300, work: read(alone, 'latest') },
    { times: 300, work: read(routedToOne, { after: position }) },
    { times: 300, work: read(straight, 'latest') },
  ])
  if (set.counts.primary > before) throw new Error('A read went to the primary that should not have.')
  return [
    atMost('own work of a read after a position', (after! - bare!) * 1_000, 'µs', 5),
    atMost('own work of a read with a bound', (bounded! - bare!) * 1_000, 'µs', 5),
    reported('a read of one row, on the primary without a router', onPrimary! * 1_000, 'µs'),
    reported('the same, on a standby without a router', unchecked! * 1_000, 'µs'),
    reported('the same, routed to that standby', onStandby! * 1_000, 'µs'),
  ]
}

async function nothing(): Promise<void> {}

async function measureMix(
  routed: Database,
  alone: Database,
  { mixMs, turns }: { readonly mixMs: number; readonly turns: number },
  signal: AbortSignal,
): Promise<Check[]> {
  const rates: { alone: number; routed: number }[] = []
  const { counts } = routed.replicas!
  const before = { primary: counts.primary, standbys: routed.replicas!.report.map(({ reads }) => reads) }
  for (let turn = 0; turn < turns; turn++) {
    const without = await runMix(alone, mixMs, signal)
    const withStandbys = await runMix(routed, mixMs, signal)
    rates.push({ alone: without.readsPerSecond, routed: withStandbys.readsPerSecond })
  }
  const primary = counts.primary - before.primary
  const reads = routed.replicas!.report.map((one, index) => one.reads - before.standbys[index]!)
  const total = primary + reads.reduce((sum, count) => sum + count, 0)
  return [
    atLeast(
      'share of one standby, to that of the other',
      Math.min(...reads) / Math.max(...reads),
      'ratio',
      0.9,
    ),
    atMost('share of the primary, of reads', (100 * primary) / total, '%', 10),
    reported('reads with the primary alone', median(rates.map((rate) => rate.alone)), '/s'),
    reported('reads with two standbys', median(rates.map((rate) => rate.routed)), '/s'),
    reported(
      'reads with two standbys, times those with the primary alone',
      median(rates.map((rate) => rate.routed / rate.alone)),
      '×',
    ),
    reported('reads that waited for a standby', (100 * counts.waited) / total, '%'),
    reported('reads that waited in vain', (100 * counts.waitedInVain) / total, '%'),
  ]
}

async function ask(url: string, statement: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query(statement)).rows as unknown[]
  } finally {
    await client.end()
  }
}
