import { join } from 'node:path'
import pg from 'pg'
import { loadConfig } from '../src/config/load.ts'
import { migrate } from '../src/database/migrator.ts'
import { APPLICATION_LOGIN, findDatabaseUrls } from '../src/operations/connection-urls.ts'
import { MIGRATION_SETS } from '../src/operations/open-instance.ts'
import { openStore } from '../src/store/open-store.ts'
import type { BenchContext, Benchmark } from './benchmark.ts'
import { reported } from './checks.ts'
import { type AppendRates, measureAppend } from './ingest/append-rate.ts'
import { HttpClient } from './http-client.ts'
import { measureHttp } from './ingest/http-rate.ts'
import { measureSmallAppends, type SmallAppends } from './ingest/small-appends.ts'
import { type Instance, startInstance } from './instance.ts'

const SIZES = {
  full: { points: 1_000_000, pointsPerBatch: 10_000, series: 1_000, runs: 5, smallSeconds: 10 },
  quick: { points: 200_000, pointsPerBatch: 10_000, series: 1_000, runs: 3, smallSeconds: 3 },
}
/** Between instants of two measurements, which are a second apart. */
const FAR_MS = 100_000_000
const AGENTS = 50
const POINTS_OF_AN_AGENT = 10
const APPEND_DATABASE = 'nomaly_bench_append'

/** How fast points come in, beside the fastest that PostgreSQL and Fastify alone would take them. */
export const ingest: Benchmark = {
  summary:
    'NDJSON over HTTP and append in the process, as ratios to a raw COPY of the same points into the same table',
  async run(context) {
    const size = context.quick ? SIZES.quick : SIZES.full
    const dataDirectory = join(context.directory, 'data')
    // What it records of itself would go into the tables that are emptied between runs.
    const environment = { NOMALY_SELF_WATCH_SECONDS: '0' }
    await using instance = await startInstance({ dataDirectory, environment, signal: context.signal })
    const http = await measureHttp({ ...size, ...context, instance })
    const small = await measureAgents(instance, size.smallSeconds, context)
    const append = await measureAppendBeside(dataDirectory, size, context)
    const k = (rate: number): number => rate / 1000
    const { pointsPerSecond: rate } = http
    const checks = [
      reported(`${http.limit}, the limit of the database`, k(rate.raw), 'k points/s'),
      reported('HTTP NDJSON to committed, one request at a time', k(rate.one), 'k points/s'),
      reported('HTTP NDJSON to committed, two at a time', k(rate.two), 'k points/s'),
      reported(`HTTP, one at a time, to ${http.limit}`, http.ratio('one', 'raw'), 'ratio'),
      reported(`HTTP, two at a time, to ${http.limit}`, http.ratio('two', 'raw'), 'ratio'),
      reported('bare Fastify that reads the body', k(rate.bareRead), 'k points/s'),
      reported('bare Fastify that reads and parses, one at a time', k(rate.bareParse), 'k points/s'),
      reported('bare Fastify that reads and parses, two at a time', k(rate.bareParseTwo), 'k points/s'),
      reported('HTTP, one at a time, to bare Fastify that parses', http.ratio('one', 'bareParse'), 'ratio'),
      reported(
        'HTTP, two at a time, to bare Fastify that parses',
        http.ratio('two', 'bareParseTwo'),
        'ratio',
      ),
      reported(
        `requests of ${POINTS_OF_AN_AGENT} points, one agent`,
        k(small.one.pointsPerSecond),
        'k points/s',
      ),
      reported('one agent, median time of a request', small.one.medianMs, 'ms'),
      reported(`the same from ${AGENTS} agents at once`, k(small.many.pointsPerSecond), 'k points/s'),
      reported(`${AGENTS} agents, median time of a request`, small.many.medianMs, 'ms'),
      reported(`${AGENTS} agents, 99 % of requests within`, small.many.slowestPercentMs, 'ms'),
      reported(`${AGENTS} agents to one`, small.many.pointsPerSecond / small.one.pointsPerSecond, 'ratio'),
      reported(`${append.limit}, beside append`, k(append.rawPointsPerSecond), 'k points/s'),
      reported('append of fresh points', k(append.freshPointsPerSecond), 'k points/s'),
      reported('append of repeated points', k(append.repeatedPointsPerSecond), 'k points/s'),
      reported(`append of fresh points to ${append.limit}`, append.freshRatio, 'ratio'),
      reported(`append of repeated points to ${append.limit}`, append.repeatedRatio, 'ratio'),
    ]
    return { checks, versions: { postgresql: instance.postgresVersion } }
  },
}

/** What many agents with a few points each get together, beside what a single one gets, whom nobody's points can be stored with. */
async function measureAgents(
  instance: Instance,
  seconds: number,
  { signal, log }: BenchContext,
): Promise<{ one: SmallAppends; many: SmallAppends }> {
  const dataset = 'agents'
  using client = new HttpClient(instance.url, instance.adminKey)
  await client.json('POST', '/v1/datasets', { name: dataset })
  let firstMs = Date.now()
  const measure = async (connections: number): Promise<SmallAppends> => {
    const options = {
      url: instance.url,
      apiKey: instance.adminKey,
      dataset,
      pointsPerRequest: POINTS_OF_AN_AGENT,
    }
    // The first second makes the series.
    await measureSmallAppends({ ...options, firstMs, connections, seconds: 1, signal })
    firstMs += FAR_MS
    const small = await measureSmallAppends({ ...options, firstMs, connections, seconds, signal })
    firstMs += FAR_MS
    log(
      `${connections} agents: ${Math.round(small.pointsPerSecond)} points/s, ${small.medianMs.toFixed(1)} ms, ` +
        `99 % within ${small.slowestPercentMs.toFixed(1)} ms, ${small.refused} refused`,
    )
    return small
  }
  return { one: await measure(1), many: await measure(AGENTS) }
}

/** `append` called in this process, on a second database of the same server: no HTTP, nothing to parse. */
async function measureAppendBeside(
  dataDirectory: string,
  size: (typeof SIZES)['full'],
  context: BenchContext,
): Promise<AppendRates> {
  const config = loadConfig({ NOMALY_DATA_DIR: dataDirectory })
  const urls = await findDatabaseUrls(config)
  const admin = new pg.Client({ connectionString: urls.adminUrl })
  await admin.connect()
  try {
    await admin.query(`create database ${APPEND_DATABASE}`)
  } finally {
    await admin.end()
  }
  const [adminUrl, applicationUrl] = [urls.adminUrl, urls.applicationUrl].map((address) => {
    const url = new URL(address)
    url.pathname = `/${APPEND_DATABASE}`
    return url
  })
  const applicationLogin = { name: APPLICATION_LOGIN, password: decodeURIComponent(applicationUrl!.password) }
  await migrate({ adminUrl: adminUrl!.href, sets: MIGRATION_SETS, applicationLogin })
  await using store = await openStore(config, applicationUrl!.href, context.log)
  const { id: tenantId } = await store.tenants.create('bench')
  const { value: dataset } = await store.transaction({ tenantId }, (unit) =>
    unit.datasets.create({ name: 'append', description: '', retention: 'forever' }),
  )
  return await measureAppend({
    ...size,
    ...context,
    engine: store.metrics,
    scope: { tenantId },
    source: { kind: 'dataset', id: dataset.id, retention: dataset.retention },
    adminUrl: adminUrl!.href,
  })
}
