import type { Store } from '../../store/store.ts'
import { type DrillSite, POINTS_PER_WRITE } from './drill-writes.ts'

/** What the database has in the end of one lane. */
export interface FoundLane {
  /** Numbers of the writes that are there whole. */
  readonly whole: ReadonlySet<number>
  /** Numbers of those of which a part is there, or something else than was written. */
  readonly torn: readonly number[]
  /** What the counter says; `undefined` of points. */
  readonly counter: number | undefined
}

/** By lane: `0`, `1`, … */
export type FoundLanes = ReadonlyMap<string, FoundLane>

interface SettingRow extends Record<string, unknown> {
  readonly name: string
  readonly counter: number
}

/** Reads all counters and marks of a drill, in one snapshot of the primary. */
export async function findCounters(store: Store, { scope, run }: DrillSite): Promise<FoundLanes> {
  const rows = await store.database.read({ role: 'nomaly_app', scope, freshness: 'latest' }, (connection) =>
    connection.query<SettingRow>(
      `select name, case when jsonb_typeof(value) = 'number' then (value #>> '{}')::float8 else 0 end as counter
       from nomaly.settings where starts_with(name, $1)`,
      [`${run}/`],
    ),
  )
  const lanes = new Map<string, { whole: Set<number>; counter: number; torn: number[] }>()
  for (const { name, counter } of rows) {
    const [, lane, n] = name.split('/')
    const found = lanes.get(lane!) ?? { whole: new Set<number>(), counter: 0, torn: [] }
    lanes.set(lane!, found)
    if (n === undefined) found.counter = counter
    else found.whole.add(Number(n))
  }
  return lanes
}

/** Reads all points that a drill's lanes wrote. */
export async function findPoints(store: Store, { scope, source, originMs }: DrillSite): Promise<FoundLanes> {
  const lanes = new Map<string, FoundLane>()
  const series = await store.metrics.listSeries(scope, { sourceId: source.id, metric: 'drill' })
  for (const { id, tags } of series) {
    const numbers = new Map<number, number>()
    const wrong = new Set<number>()
    const range = { fromMs: originMs, toMs: originMs + 1_000_000_000 }
    for await (const { timesMs, values } of store.metrics.scan(scope, [id], range)) {
      for (const [i, timeMs] of timesMs.entries()) {
        const n = Math.floor((timeMs - originMs) / POINTS_PER_WRITE)
        if (values[i] === timeMs - originMs) numbers.set(n, (numbers.get(n) ?? 0) + 1)
        else wrong.add(n)
      }
    }
    const isWhole = ([n, points]: readonly [number, number]): boolean =>
      points === POINTS_PER_WRITE && !wrong.has(n)
    const entries = [...numbers]
    lanes.set(tags['lane']!, {
      whole: new Set(entries.filter(isWhole).map(([n]) => n)),
      torn: [...new Set([...entries.filter((entry) => !isWhole(entry)).map(([n]) => n), ...wrong])],
      counter: undefined,
    })
  }
  return lanes
}
