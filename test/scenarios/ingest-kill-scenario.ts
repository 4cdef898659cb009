import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import type { QueryPlan } from '../../src/metrics/metric-query.ts'
import { uniform } from '../support/random.ts'
import {
  type Append,
  batchOf,
  bucketsOf,
  countOf,
  differences,
  LANES,
  maxKey,
  missing,
  MOST_LISTED,
  type NumberedSeries,
  type Points,
  pointsOf,
  START_MS,
  stretchesOf,
  valueOf,
} from './ingest-kill-points.ts'
import { KILL_NOW_MS, type KillDatabase } from './ingest-kill-database.ts'

/** What a run of the scenario varies, drawn from its seed. */
export interface IngestPlan {
  readonly seed: number
  readonly lanes: readonly Lane[]
  /** The kill comes when so many appends are acknowledged and a COPY that is under way has taken so many rows. */
  readonly acknowledgedBefore: number
  readonly rowsBefore: number
  /** Parts of what was acknowledged is sent again all the same. */
  readonly repeatedShare: number
}

type Lane = readonly Append[]

/** Of each lane; what the kill leaves unsent is no part of the run. */
const APPENDS = 12
/** TimescaleDB does not count rows, only what it has read of them: up to a buffer more than it has taken. */
const READ_AHEAD_BYTES = 65_536
/** Three fields in PostgreSQL's binary format. */
const ROW_BYTES = 34
const DAY_MS = 86_400_000
const HOUR_MS = 3_600_000

/** A plan drawn from a seed. */
export function ingestPlanOf(seed: number): IngestPlan {
  const random = uniform(seed * 2_654_435_761 + 7)
  const lanes = Array.from({ length: LANES }, (_, series) => {
    let from = 0
    return Array.from({ length: APPENDS }, (): Append => {
      const own = { series, from, to: from + 25_000 + Math.floor(random() * 35_000) }
      const sharedFrom = Math.floor(random() * 20_000)
      const others = [
        // Now and then what the append before had too, whose COPY then fails at once; and what any lane may be writing at this moment.
        { series, from: random() < 0.3 ? Math.max(0, from - 3_000) : from, to: from },
        { series: LANES, from: sharedFrom, to: sharedFrom + Math.floor(random() * 4_000) },
        { series: LANES, from: sharedFrom, to: sharedFrom + 100 },
      ]
      from = own.to
      return { own, others }
    })
  })
  return {
    seed,
    lanes,
    acknowledgedBefore: Math.floor(random() * 8),
    rowsBefore: 1 + Math.floor(random() * 15_000),
    repeatedShare: 0.2,
  }
}

/** What was found after a kill and again in the end, to be compared with what should be. */
export interface IngestOutcome {
  /** For people: how many COPYs were under way at the kill, and the rows that they had taken. */
  readonly report: {
    readonly acknowledged: number
    readonly unacknowledged: number
    /** At the kill. What is not stored then is written again where the server is back soon. */
    readonly underWay: number
    /** Of the unacknowledged: stored all the same. */
    readonly stored: number
    readonly copying: number
    readonly rowsCopied: readonly number[]
    /** After the kill: until all who wrote had heard what became of it, and until the server answered. */
    readonly heardMs: number
    readonly backMs: number
  }
  readonly lost: readonly string[]
  /** Appends of which a part is stored. */
  readonly torn: readonly string[]
  /** Points that nobody sent. */
  readonly strange: readonly string[]
  readonly resent: { conflicting: number; rejectedTotal: number }
  readonly stored: { readonly rows: number; readonly instants: number }
  readonly expectedPoints: number
  readonly wrongPoints: readonly string[]
  readonly latest: readonly object[]
  readonly expectedLatest: readonly object[]
  readonly sources: readonly string[]
  readonly expectedSources: readonly string[]
  readonly answers: readonly { readonly actual: readonly object[]; readonly expected: readonly object[] }[]
}

/** Appends, kills the database within a COPY, looks at what there is, sends again, and looks at everything. */
export async function runIngestKill(database: KillDatabase, plan: IngestPlan): Promise<IngestOutcome> {
  const { engine, neighbour, ask, pointsTable } = database
  const scope = { tenantId: randomUUID() }
  const source = { kind: 'dataset', id: randomUUID(), retention: 'forever' } as const
  const sent = new Set<Append>()
  const acknowledged = new Set<Append>()
  const append = (one: Append) => engine.append(scope, batchOf(source, one))
  let isKilled = false
  const sending = plan.lanes.map(async (lane) => {
    for (const one of lane) {
      if (isKilled) return
      sent.add(one)
      // Whoever sends has seen the server go away, and stops.
      if ((await append(one).catch(() => undefined)) === undefined) return
      acknowledged.add(one)
    }
  })
  const rolling = rollUpUntilKilled(neighbour)
  const rowsCopied = await killWithinCopy(database, plan, acknowledged)
  const killedAt = performance.now()
  isKilled = true
  const underWay = sent.size - acknowledged.size
  const sinceKill = () => Math.round(performance.now() - killedAt)
  const [heardMs, backMs] = await Promise.all([
    Promise.all([...sending, rolling]).then(sinceKill),
    untilBack(database).then(sinceKill),
  ])
  const appends = [...sent]

  const ids = async () =>
    (await neighbour.listSeries(scope, { sourceId: source.id })).map(({ id, tags }) => ({
      id,
      series: Number(tags['n']),
    }))
  const read = async () => readPoints(database, scope, await ids())
  const found = await read()
  const isStored = ({ own }: Append) => countOf(found, own)
  const unacknowledged = appends.filter((one) => !acknowledged.has(one))
  const lost = [...acknowledged].flatMap(stretchesOf).flatMap((one) => missing(found, one))
  const torn = unacknowledged.filter((one) => ![0, one.own.to - one.own.from].includes(isStored(one)))
  const early = await answersOf(database, scope, source.id, await ids(), found)

  const resent = { conflicting: 0, rejectedTotal: 0 }
  for (const one of appends) {
    const isRepeated =
      acknowledged.has(one) && ((one.own.to * 31 + plan.seed) % 100) / 100 < plan.repeatedShare
    if (acknowledged.has(one) && !isRepeated) continue
    const { value } = await append(one)
    resent.conflicting += value.conflicting
    resent.rejectedTotal += value.rejectedTotal
  }
  const wanted = pointsOf(appends)
  const whole = await read()
  for (let round = 0; (await neighbour.rollUp(new Date(KILL_NOW_MS))).hasMore; round++)
    if (round > 5) throw new Error('The roll-ups do not come to an end.')
  const [stored] = await ask<{ rows: number; instants: number }>(
    `select coalesce(sum(n), 0)::int4 as rows, count(*)::int4 as instants from (
       select count(*) as n from ${pointsTable} where series_id = any($1) group by series_id, time) p`,
    [(await ids()).map(({ id }) => id)],
  )
  const series = await ids()
  const late = await answersOf(database, scope, source.id, series, wanted)
  return {
    report: {
      acknowledged: acknowledged.size,
      unacknowledged: unacknowledged.length,
      underWay,
      stored: unacknowledged.filter((one) => isStored(one) > 0).length,
      copying: rowsCopied.length,
      rowsCopied,
      heardMs,
      backMs,
    },
    lost: lost.slice(0, MOST_LISTED),
    torn: torn.map(({ own }) => JSON.stringify(own)),
    strange: differences(found, wanted),
    resent,
    stored: stored!,
    expectedPoints: [...wanted.values()].reduce((sum, { size }) => sum + size, 0),
    wrongPoints: [...differences(whole, wanted), ...differences(wanted, whole)].slice(0, MOST_LISTED),
    latest: (
      await neighbour.latest(
        scope,
        series.map(({ id }) => id),
      )
    ).toSorted((a, b) => a.seriesId - b.seriesId),
    expectedLatest: series.map(({ id, series: n }) => {
      const second = maxKey(wanted.get(n)!)
      return { seriesId: id, timeMs: START_MS + second * 1000, value: valueOf(n, second) }
    }),
    sources: late.sources,
    expectedSources: ['3600 hourly whole', '86400 daily whole'],
    answers: [...early.answers, ...late.answers],
  }
}

/** Has roll-ups made while points arrive, so that the kill meets that too. */
async function rollUpUntilKilled(engine: KillDatabase['neighbour']): Promise<void> {
  try {
    for (;;) {
      await engine.rollUp(new Date(KILL_NOW_MS))
      await sleep(20)
    }
  } catch {
    // The server is gone.
  }
}

/** Kills postmaster and backends while a COPY has taken some of its rows; answers how many each COPY under way had taken. */
async function killWithinCopy(
  { server }: KillDatabase,
  plan: IngestPlan,
  acknowledged: ReadonlySet<Append>,
): Promise<number[]> {
  const client = new pg.Client({ connectionString: server.adminUrl })
  client.on('error', () => {})
  await client.connect()
  try {
    for (const until = Date.now() + 30_000; Date.now() < until; await sleep(1)) {
      const { rows } = await client.query<{ pid: number; done: number }>(
        `select pid, greatest(tuples_processed, (bytes_processed - ${READ_AHEAD_BYTES}) / ${ROW_BYTES}, 0)::int4 as done
         from pg_stat_progress_copy where command = 'COPY FROM'`,
      )
      if (acknowledged.size < plan.acknowledgedBefore) continue
      if (!rows.some(({ done }) => done >= plan.rowsBefore)) continue
      // The postmaster first: it must not see a backend die. Then those that copy, before they come any further.
      for (const pid of [server.pid, ...rows.map(({ pid: copying }) => copying)]) process.kill(pid, 'SIGKILL')
      await server.kill()
      return rows.map(({ done }) => done)
    }
    throw new Error(`There was no COPY to be killed after ${acknowledged.size} appends.`)
  } finally {
    await client.end().catch(() => {})
  }
}

/** The watcher of the server starts it again. */
async function untilBack({ ask }: KillDatabase): Promise<void> {
  for (const until = Date.now() + 60_000; ; await sleep(20)) {
    const answered = await ask('select 1').catch((error: unknown) => error)
    if (Array.isArray(answered)) return
    if (Date.now() > until) throw answered
  }
}

async function readPoints(
  { neighbour }: KillDatabase,
  scope: { tenantId: string },
  ids: readonly NumberedSeries[],
): Promise<Points> {
  const points = new Map(ids.map(({ series }) => [series, new Map<number, number>()]))
  const series = new Map(ids.map((one) => [one.id, one.series]))
  const always = { fromMs: -Infinity, toMs: Infinity }
  for await (const { seriesId, timesMs, values } of neighbour.scan(scope, [...series.keys()], always)) {
    const own = points.get(series.get(seriesId)!)!
    for (const [i, timeMs] of timesMs.entries()) own.set((timeMs - START_MS) / 1000, values[i]!)
  }
  return points
}

/** What hours and days are answered, and from where; beside what the points say. */
async function answersOf(
  { neighbour }: KillDatabase,
  scope: { tenantId: string },
  sourceId: string,
  ids: readonly NumberedSeries[],
  points: Points,
): Promise<{ answers: { actual: object[]; expected: object[] }[]; sources: string[] }> {
  const range = { fromMs: START_MS, toMs: START_MS + 10 * DAY_MS }
  const answers: { actual: object[]; expected: object[] }[] = []
  const sources: string[] = []
  for (const widthMs of [HOUR_MS, DAY_MS]) {
    const seconds = widthMs / 1000
    const query = { series: { sourceId }, range, bucket: { seconds }, freshness: 'latest' } as const
    answers.push({
      actual: await Array.fromAsync(neighbour.query(scope, query)),
      expected: ids.flatMap(({ id, series }) => bucketsOf(id, points.get(series) ?? new Map(), seconds)),
    })
    const { segments }: QueryPlan = await neighbour.explain(scope, query)
    sources.push(...segments.map((one) => `${seconds} ${one.source} ${one.reason}`))
  }
  return { answers, sources }
}
