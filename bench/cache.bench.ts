import { join } from 'node:path'
import pg from 'pg'
import { Type } from 'typebox'
import { RedisCache } from '../src/cache/redis-cache.ts'
import { DEFAULT_CACHE_LIMITS } from '../src/cache/kept-values.ts'
import { ReadThrough } from '../src/cache/read-through.ts'
import { loadConfig } from '../src/config/load.ts'
import { startEmbeddedServer } from '../src/database/embedded-server.ts'
import { APPLICATION_LOGIN, urlForLogin } from '../src/operations/connection-urls.ts'
import { migrateInstance } from '../src/operations/open-instance.ts'
import { openRedis } from '../src/redis/connection.ts'
import { openStore } from '../src/store/open-store.ts'
import type { Store } from '../src/store/store.ts'
import type { Benchmark } from './benchmark.ts'
import { fillDataset, readAggregate } from './cache/aggregate.ts'
import { countLoads } from './cache/crowd.ts'
import { startBenchRedis } from './cache/redis-server.ts'
import { sideBySide } from './cache/side-by-side.ts'
import { atLeast, atMost, type Check, reported } from './checks.ts'
import { freePorts } from './instance.ts'

const SIZES = {
  full: { points: 1_000_000, rounds: 40, crowds: 10 },
  quick: { points: 100_000, rounds: 10, crowds: 3 },
} as const
const PROCESSES = 4
const READERS = 1_000
/** What is read shared: an answer of a dashboard's panel, about two thousand characters long. */
const Panel = Type.Object({
  title: Type.String(),
  startsMs: Type.Array(Type.Number()),
  mean: Type.Array(Type.Number()),
})
const PANEL = {
  title: 'Requests per second',
  startsMs: Array.from({ length: 80 }, (_, index) => 1_700_000_000_000 + index * 60_000),
  mean: Array.from({ length: 80 }, (_, index) => Math.round(1e6 * Math.sin(index)) / 1e3),
}

/** What the cache saves, and what it costs. */
export const cache: Benchmark = {
  summary: 'reads through the cache beside PostgreSQL and a bare Redis, and a crowd that misses',
  async run({ quick, directory, signal, log }) {
    const size = quick ? SIZES.quick : SIZES.full
    await using stack = new AsyncDisposableStack()
    const [preferredPort] = await freePorts(1)
    const dataDirectory = join(directory, 'server')
    const server = stack.use(
      await startEmbeddedServer({ dataDirectory, preferredPort: preferredPort!, log, signal }),
    )
    const redisServer = stack.use(await startBenchRedis(directory))
    const login = { name: APPLICATION_LOGIN, password: 'bench' }
    await migrateInstance({ adminUrl: server.adminUrl, applicationLogin: login }, 'partitioned', log)
    const databaseUrl = urlForLogin(server.adminUrl, login.name, login.password)
    const embedded = stack.use(await openStore(loadConfig({}), databaseUrl, log, { isAlone: true }))
    const production = stack.use(
      await openStore(loadConfig({ REDIS_URL: redisServer.url }), databaseUrl, log),
    )
    const { id: tenantId } = await production.tenants.create('bench')
    const scope = { tenantId }
    log(`${size.points.toLocaleString('en')} points …`)
    const sourceId = await fillDataset(production, scope, size.points, signal)

    log('reading …')
    const checks: Check[] = [
      ...(await measureLocal(embedded, scope, sourceId, databaseUrl, size.rounds)),
      ...(await measureShared(redisServer.url, scope, size.rounds)),
      ...(await measureAggregate('embedded', embedded, scope, sourceId, size.rounds)),
      ...(await measureAggregate('production', production, scope, sourceId, size.rounds)),
    ]
    log(`${READERS} readers in ${PROCESSES} processes miss at once, ${size.crowds} times …`)
    const options = { databaseUrl, redisUrl: redisServer.url, tenantId, sourceId }
    const loads = await countLoads({
      ...options,
      processes: PROCESSES,
      readers: READERS,
      times: size.crowds,
      signal,
    })
    checks.push(
      atMost(
        `${READERS} concurrent misses in ${PROCESSES} processes, queries at most`,
        Math.max(...loads),
        '',
        1,
      ),
    )
    return { checks, versions: { redis: redisServer.version } }
  },
}

async function measureLocal(
  store: Store,
  scope: { tenantId: string },
  id: string,
  databaseUrl: string,
  rounds: number,
): Promise<Check[]> {
  const client = new pg.Client({ connectionString: databaseUrl })
  await client.connect()
  try {
    await client.query(`set role nomaly_system`)
    const row = {
      name: 'bench',
      text: 'select id, name, description from nomaly.datasets where id = $1',
      values: [id],
    }
    const panel = {
      key: 'panel',
      tags: [`points:${id}`],
      schema: Panel,
      freshness: { maxLagMs: 60_000 },
      load: async () => PANEL,
    }
    const [sql, hit] = await sideBySide(rounds, [
      { times: 200, work: () => client.query(row) },
      { times: 20_000, work: () => store.cache.read(scope, panel) },
    ])
    return [
      atLeast('hit in the process, times faster than an indexed read', sql! / hit!, '×', 40),
      reported('hit in the process', hit! * 1_000, 'µs'),
      reported('an indexed read of PostgreSQL, prepared', sql! * 1_000, 'µs'),
    ]
  } finally {
    await client.end()
  }
}

async function measureShared(url: string, scope: { tenantId: string }, rounds: number): Promise<Check[]> {
  await using redis = await openRedis({ url, timeoutMs: 1_000, log: () => {}, clientName: 'bench' })
  const store = new RedisCache({ redis, prefix: 'bench:', noticeBoundMs: 0 })
  // Nothing is kept in the process, so that every read is one of Redis.
  const options = {
    store,
    position: async () => ({ systemId: '1', timeline: 1, lsn: '0/1' }),
    now: Date.now,
    random: Math.random,
    sleep: async () => {},
  }
  await using through = new ReadThrough({ ...options, limits: { ...DEFAULT_CACHE_LIMITS, localBytes: 0 } })
  const wanted = {
    key: 'panel',
    tags: ['a', 'b'],
    schema: Panel,
    freshness: 'latest' as const,
    load: async () => PANEL,
  }
  await through.read(scope, wanted)
  const bytes = (await store.look(scope, [], 'panel')).value ?? ''
  await redis.command((client) => client.set('bench:bare', bytes))
  // As the product has it: what this process has already is not fetched again, only its floors are looked at.
  await using keeping = new ReadThrough({ ...options, limits: DEFAULT_CACHE_LIMITS })
  const [bare, hit, looked] = await sideBySide(rounds, [
    { times: 400, work: () => redis.command((client) => client.get('bench:bare')) },
    { times: 400, work: () => through.read(scope, wanted) },
    { times: 400, work: () => keeping.read(scope, wanted) },
  ])
  if (through.counts.loaded !== 1 || keeping.counts.loaded > 0)
    throw new Error('A read that should have been a hit was none.')
  return [
    atLeast('shared hit, value here, floors looked at, to the same', bare! / looked!, 'ratio', 0.8),
    atLeast('shared hit with its floors, to a bare GET of the same bytes', bare! / hit!, 'ratio', 0.8),
    reported('shared hit with its floors', hit! * 1_000, 'µs'),
    reported('a bare GET', bare! * 1_000, 'µs'),
  ]
}

async function measureAggregate(
  profile: string,
  store: Store,
  scope: { tenantId: string },
  sourceId: string,
  rounds: number,
): Promise<Check[]> {
  const [uncached, cached] = await sideBySide(Math.ceil(rounds / 4), [
    { times: 3, work: () => readAggregate(store, scope, sourceId, 'uncached') },
    { times: 300, work: () => readAggregate(store, scope, sourceId, 'cached') },
  ])
  return [
    reported(`an aggregate, uncached, ${profile}`, uncached!, 'ms'),
    reported(`the same, cached, ${profile}`, cached!, 'ms'),
    atLeast(`the aggregate, times faster cached, ${profile}`, uncached! / cached!, '×', 1),
  ]
}
