import type { BenchContext, Benchmark, BenchResult } from './benchmark.ts'
import { atMost, type Check, reported } from './checks.ts'
import type { AppendRates } from './ingest/append-rate.ts'
import { AdrSide } from './metrics/adr-side.ts'
import { appendBeside } from './metrics/append-beside.ts'
import { BenchServer } from './metrics/bench-server.ts'
import { ENGINES } from './metrics/engine-kinds.ts'
import type { EngineKind } from './metrics/engine-side.ts'
import { type OverHttp, measureOverHttp } from './metrics/over-http.ts'
import { type BarGroup, drawRatios } from './metrics/plot.ts'
import { measureQueries, type QueryPart } from './metrics/query-part.ts'
import { MEMORY, ratioCheck, TARGETS } from './metrics/targets.ts'
import { Workload } from './metrics/workload.ts'

const SIZES = {
  full: {
    workload: { pointsPerSeries: 10_000, stepMs: 60_000, runs: 5 },
    ingest: { points: 1_000_000, runs: 5, rowByRow: 20_000, memorySeconds: 60 },
  },
  // The same week with a tenth of the points: too few for roll-ups or compression to show what they are worth.
  quick: {
    workload: { pointsPerSeries: 1_000, stepMs: 600_000, runs: 5 },
    ingest: { points: 200_000, runs: 5, rowByRow: 5_000, memorySeconds: 10 },
  },
}

/** The metrics store beside what it replaces, and beside what the ADR would have had. */
export const metrics: Benchmark = {
  summary: "SQLite, the ADR's hypertable and our engines side by side on the same seeded points",
  async run(context): Promise<BenchResult> {
    const { log } = context
    const size = context.quick ? SIZES.quick : SIZES.full
    await using server = await BenchServer.open({ url: context.databaseUrl, ...context })
    const kinds = ENGINES.filter(({ name, needsTimescale }) => {
      const isPossible = server.hasTimescale || !needsTimescale
      if (!isPossible) log(`This server offers no timescaledb: the ${name} engine is left out.`)
      return isPossible
    })
    if (!server.hasTimescale) log("For the same reason the ADR's hypertable is left out. See --url.")
    const http = new Map<EngineKind, OverHttp>()
    for (const kind of kinds)
      http.set(kind, await measureOverHttp(kind, { server, ...size.ingest, ...context }))
    const appending = await measureAppending(server, kinds, size, context)
    await using queries = await measureQueries(server, kinds, size.workload, context)
    const checks = [
      ...ingestChecks(appending),
      ...httpChecks(http),
      ...byteChecks(queries, context),
      ...queryChecks(queries, context),
      ...tenTimesChecks(queries),
    ]
    return {
      checks,
      versions: { ...server.versions, sqlite: queries.sqlite.version },
      plot: drawRatios(
        `SQLite's over ours, ${new Workload(size.workload).points / 1e6} M points`,
        groups(queries),
      ),
    }
  },
}

/** Appends to an empty table of each engine; the ADR's row-by-row loop is timed in each of their runs. */
async function measureAppending(
  server: BenchServer,
  kinds: readonly EngineKind[],
  { workload, ingest }: (typeof SIZES)['full'],
  context: BenchContext,
): Promise<Map<EngineKind, AppendRates>> {
  const timescale = server.hasTimescale ? { extension: 'timescaledb' as const } : {}
  const { adminUrl } = await server.createDatabase('row_by_row', timescale)
  await using adr = await AdrSide.create(adminUrl, server.hasTimescale, new Workload(workload))
  const neighbour = (): Promise<number> => adr.insertRowByRow(ingest.rowByRow)
  const rates = new Map<EngineKind, AppendRates>()
  for (const kind of kinds) {
    const database = await server.createDatabase(`append_${kind.name}`, {
      ...(kind.needsTimescale ? timescale : {}),
      sets: kind.sets,
    })
    rates.set(kind, await appendBeside(kind, database, { ...ingest, ...context, neighbour }))
  }
  return rates
}

function ingestChecks(rates: ReadonlyMap<EngineKind, AppendRates>): Check[] {
  return [...rates].flatMap(([{ name }, rate]) => {
    const targets = TARGETS[name]
    return [
      reported(`${name}: ${rate.limit} into the same table`, rate.rawPointsPerSecond / 1000, 'k points/s'),
      reported(`${name}: append of fresh points`, rate.freshPointsPerSecond / 1000, 'k points/s'),
      reported(`${name}: beside it, the ADR's row-by-row loop`, rate.neighbourPerSecond / 1000, 'k rows/s'),
      ratioCheck(`${name}: append of fresh points, to ${rate.limit}`, rate.freshRatio, targets.fresh),
      ratioCheck(
        `${name}: append of repeated points, to ${rate.limit}`,
        rate.repeatedRatio,
        targets.repeated,
      ),
      ratioCheck(`${name}: append, to the ADR's row-by-row loop`, rate.neighbourRatio, targets.rowByRow),
    ]
  })
}

function httpChecks(all: ReadonlyMap<EngineKind, OverHttp>): Check[] {
  return [...all].flatMap(([{ name }, { rates, memory }]) => {
    const { one, two } = rates.pointsPerSecond
    const checks = [
      reported(`${name}: HTTP NDJSON, one at a time`, one / 1000, 'k points/s'),
      reported(`${name}: HTTP NDJSON, two at a time`, two / 1000, 'k points/s'),
      ratioCheck(
        `${name}: HTTP NDJSON, one at a time, to ${rates.limit}`,
        rates.ratio('one', 'raw'),
        undefined,
      ),
      ratioCheck(
        `${name}: HTTP NDJSON to committed, to ${rates.limit}`,
        rates.ratio('two', 'raw'),
        TARGETS[name].http,
      ),
    ]
    if (memory !== undefined)
      checks.push(
        reported(
          `${name}: points taken while memory is watched`,
          memory.pointsPerSecond / 1000,
          'k points/s',
        ),
        atMost(`${name}: peak memory of the server under full ingest`, memory.peakMib, 'MiB', MEMORY.mostMib),
        atMost(
          `${name}: peak of the second half to that of the first`,
          memory.growth,
          'ratio',
          MEMORY.growth,
        ),
      )
    return checks
  })
}

function byteChecks({ bytes }: QueryPart, { quick }: BenchContext): Check[] {
  const checks = [reported('SQLite', bytes.sqlite, 'bytes/point')]
  if (bytes.adr !== undefined)
    checks.push(
      reported("ADR's hypertable, as loaded", bytes.adr.loaded, 'bytes/point'),
      reported("ADR's hypertable, compressed", bytes.adr.compressed, 'bytes/point'),
    )
  for (const [{ name }, { settled, points, everything }] of bytes.engines)
    checks.push(
      reported(`${name}: points that have settled, with indexes`, settled, 'bytes/point'),
      reported(`${name}: all points, the newest too`, points, 'bytes/point'),
      reported(`${name}: everything, with roll-ups and names`, everything, 'bytes/point'),
      ratioCheck(
        `${name}: SQLite's bytes to settled points`,
        bytes.sqlite / settled,
        TARGETS[name].bytes,
        !quick,
      ),
      ratioCheck(`${name}: SQLite's bytes to everything`, bytes.sqlite / everything, undefined),
    )
  return checks
}

function queryChecks(
  { sqlite, adr, engines, questions, times }: QueryPart,
  { quick }: BenchContext,
): Check[] {
  return questions.flatMap(({ id, title }) => {
    const sides = [sqlite, ...(adr === undefined ? [] : [adr]), ...engines.values()]
    const checks = sides.map((side) => reported(`${title}: ${side.name}`, times.ms(side, id), 'ms'))
    if (adr !== undefined)
      checks.push(reported(`${title}: ${adr.name} to SQLite`, times.timesFaster(adr, sqlite, id), 'ratio'))
    for (const [{ name }, side] of engines) {
      const target = TARGETS[name].questions[id]
      checks.push(
        ratioCheck(
          `${title}: ${name} to SQLite`,
          times.timesFaster(side, sqlite, id),
          target,
          !quick || id === 'latest',
        ),
      )
    }
    return checks
  })
}

function tenTimesChecks({ tenTimes, engines, questions }: QueryPart): Check[] {
  return [...tenTimes].flatMap(([kind, { side, times }]) => {
    const { ceiling, aim } = TARGETS[kind.name].tenTimes
    return questions.map(({ id, title }) => ({
      ...atMost(
        `${title}: ${kind.name}, ten times the points`,
        times.timesFaster(engines.get(kind)!, side, id),
        'times slower',
        ceiling,
      ),
      ...(aim === undefined ? {} : { aim }),
    }))
  })
}

/** What is drawn: questions, then bytes. */
function groups({ sqlite, adr, engines, questions, times, bytes }: QueryPart): BarGroup[] {
  const marks = (target: { floor: number; aim?: number } | undefined) => target ?? {}
  const sides = [...(adr === undefined ? [] : [adr]), ...engines.values()]
  const asked = questions.map(({ id, title }) => ({
    title,
    bars: sides.map((side) => ({ side: side.name, ratio: times.timesFaster(side, sqlite, id) })),
    ...marks(engines.size > 1 ? TARGETS.timescale.questions[id] : TARGETS.partitioned.questions[id]),
  }))
  const weighed = [...bytes.engines].map(([{ name }, { settled }]) => ({
    side: name,
    ratio: bytes.sqlite / settled,
  }))
  const adrBar =
    bytes.adr === undefined ? [] : [{ side: adr!.name, ratio: bytes.sqlite / bytes.adr.compressed }]
  return [
    ...asked,
    {
      title: 'bytes per point, compressed',
      bars: [...adrBar, ...weighed],
      ...marks(engines.size > 1 ? TARGETS.timescale.bytes : undefined),
    },
  ]
}
