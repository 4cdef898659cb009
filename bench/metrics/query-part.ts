import { join } from 'node:path'
import type { BenchContext } from '../benchmark.ts'
import { AdrSide } from './adr-side.ts'
import { askSideBySide, type AnswerTimes } from './ask-side-by-side.ts'
import type { BenchServer } from './bench-server.ts'
import { type BytesPerPoint, type EngineKind, EngineSide } from './engine-side.ts'
import { type Question, questionsAbout } from './question.ts'
import type { Side } from './side.ts'
import { SqliteSide } from './sqlite-side.ts'
import { Workload, type WorkloadSize } from './workload.ts'

const HOUR_MS = 3_600_000

export interface StoredBytes {
  readonly sqlite: number
  /** As it is loaded, and as the ADR's policy leaves it after seven days. */
  readonly adr: { readonly loaded: number; readonly compressed: number } | undefined
  readonly engines: ReadonlyMap<EngineKind, BytesPerPoint>
}

export interface QueryPart extends AsyncDisposable {
  readonly sqlite: SqliteSide
  readonly adr: AdrSide | undefined
  readonly engines: ReadonlyMap<EngineKind, EngineSide>
  readonly questions: readonly Question[]
  readonly times: AnswerTimes
  /** Per point. */
  readonly bytes: StoredBytes
  /** For dashboards at ten times the points; `undefined` where that was not asked for. */
  readonly tenTimes: ReadonlyMap<EngineKind, { readonly side: Side; readonly times: AnswerTimes }>
}

/** Loads the workload into all sides that the server allows, weighs them, and asks all of them the same questions. */
export async function measureQueries(
  server: BenchServer,
  kinds: readonly EngineKind[],
  size: WorkloadSize & { readonly runs: number },
  context: BenchContext,
): Promise<QueryPart> {
  const { signal, log, progress } = context
  const workload = new Workload(size)
  const questions = questionsAbout(workload)
  await using stack = new AsyncDisposableStack()

  const sqlite = stack.use(new SqliteSide(join(context.directory, 'metrics.db'), workload))
  log(`SQLite: ${rate(workload.points, sqlite.load())}`)
  const plans = sqlite.choosePlans(questions)
  for (const { id, title } of questions)
    log(`SQLite answers "${title}" best ${plans.get(id) || 'as its planner has it'}`)

  let adr: AdrSide | undefined
  if (server.hasTimescale) {
    const { adminUrl } = await server.createDatabase('adr', { extension: 'timescaledb' })
    adr = stack.use(await AdrSide.create(adminUrl, true, workload))
    const start = performance.now()
    await adr.load(signal)
    log(`${adr.name}: ${rate(workload.points, performance.now() - start)}`)
  }
  const engines = new Map<EngineKind, EngineSide>()
  const weights = new Map<EngineKind, BytesPerPoint>()
  for (const kind of kinds) {
    const { side, adminUrl } = await loadEngine(server, kind, workload, kind.name, context)
    engines.set(kind, stack.use(side))
    weights.set(kind, await kind.weigh(adminUrl, workload.points))
    for (const question of questions)
      if (question.kind === 'hours')
        log(`${kind.name} answers "${question.title}" from ${await side.explain(question)}`)
  }
  const sides: Side[] = [sqlite, ...(adr === undefined ? [] : [adr]), ...engines.values()]
  const times = await askSideBySide({ sides, questions, runs: size.runs, signal, progress, log })
  const loaded = ((await adr?.bytes()) ?? 0) / workload.points
  await adr?.compress()
  const compressed = ((await adr?.bytes()) ?? 0) / workload.points

  const tenTimes = new Map<EngineKind, { side: Side; times: AnswerTimes }>()
  if (context.huge)
    for (const [kind, side] of engines) {
      const longer = new Workload({ ...size, pointsPerSeries: 10 * size.pointsPerSeries })
      const loadedLonger = await loadEngine(server, kind, longer, `${kind.name}, ten times longer`, context)
      await using other = loadedLonger.side
      // The shorter one does not quite reach back a week: both are asked about whole hours that they have.
      const firstHourMs = Math.ceil(workload.startMs / HOUR_MS) * HOUR_MS
      const common = questionsAbout(workload, firstHourMs)
      const pair = { sides: [side, other], questions: common, runs: size.runs, signal, progress, log }
      tenTimes.set(kind, { side: other, times: await askSideBySide(pair) })
    }
  const resources = stack.move()
  return {
    sqlite,
    adr,
    engines,
    questions,
    times,
    bytes: {
      sqlite: sqlite.bytes() / workload.points,
      adr: adr === undefined ? undefined : { loaded, compressed },
      engines: weights,
    },
    tenTimes,
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}

async function loadEngine(
  server: BenchServer,
  kind: EngineKind,
  workload: Workload,
  name: string,
  { signal, log, progress }: BenchContext,
): Promise<{ side: EngineSide; adminUrl: string }> {
  const database = await server.createDatabase(name.replaceAll(/\W+/g, '_'), {
    ...(kind.needsTimescale ? { extension: 'timescaledb' as const } : {}),
    sets: kind.sets,
  })
  const side = EngineSide.open(kind, database, workload, name)
  try {
    const { appendMs, rollUpMs } = await side.load(signal, progress)
    log(`${name}: ${rate(workload.points, appendMs)}, then ${(rollUpMs / 1000).toFixed(1)} s for roll-ups`)
    return { side, adminUrl: database.adminUrl }
  } catch (error) {
    await side[Symbol.asyncDispose]()
    throw error
  }
}

function rate(points: number, elapsedMs: number): string {
  return `${points / 1e6} M points stored at ${Math.round(points / elapsedMs)}k points/s`
}
