import { setImmediate as otherWork } from 'node:timers/promises'
import { NomalyError } from '../../errors.ts'
import type { MetricsEngine, PointBatch, SeriesSource } from '../../metrics/metrics-engine.ts'
import type { Reason, Refused } from './converted.ts'
import { findConflicts } from './find-conflicts.ts'
import type { Tally } from './import-ledger.ts'
import type { ImportRun } from './import-table.ts'
import { type MetricPage, type MetricRows, NO_SERIES, PAGE_ROWS } from './metric-rows.ts'
import { recordOf } from './row-reader.ts'
import type { SourceTable } from './source.ts'
import { addCounts } from './store-batch.ts'

/** Points of one append: what is repeated after an interruption. */
const BATCH_POINTS = 100_000

/** The import of metrics, under way. */
export interface MetricsRun extends ImportRun {
  readonly metrics: MetricsEngine
  readonly source: SeriesSource
}

/** Imports a table of metrics from where it was left. Points are appended first and the place is noted then: what is repeated does no harm. */
export async function importMetrics(run: MetricsRun, table: SourceTable, rows: MetricRows): Promise<Tally> {
  const { database, ledger, context, signal, onRows } = run
  const { place: start, isDone, tally: counted } = await ledger.placeOf(table.name)
  onRows(counted.read)
  if (isDone) return counted
  let tally = counted
  let last = start
  const store = async (batch: MetricBatch): Promise<void> => {
    const refused = [...batch.refused]
    if (batch.count > 0) {
      const points = batch.points(run.source, rows)
      const { value } = await run.metrics.append({ tenantId: context.tenantId }, points, signal)
      if (value.rejectedTotal > 0)
        throw new NomalyError('internal', `Points were refused: ${value.rejected[0]?.reason ?? ''}`)
      if (value.conflicting > 0)
        for (const [at, stored] of await findConflicts(run, points))
          refused.push({
            place: batch.places[at]!,
            reason: 'conflicting_point',
            detail: `its series has ${stored} at this instant, and the first one counts`,
          })
    }
    const before = tally
    const next: Tally = {
      ...before,
      read: before.read + batch.count + batch.refused.length,
      stored: before.stored + batch.count - (refused.length - batch.refused.length),
      quarantined: before.quarantined + refused.length,
      reasons: addCounts(
        before.reasons,
        refused.map(({ reason }) => reason),
      ),
    }
    const aside = refused.map((row) => describe(table, context.tenantId, row))
    const place = { place: batch.last, isDone: false, tally: next }
    await database.transaction({ role: 'nomaly_system', signal, retry: true }, (connection) =>
      ledger.advance(connection, table.name, place, aside),
    )
    onRows(next.read - before.read)
    tally = next
  }
  // While one batch is stored the next one is read.
  let storing: Promise<void> = Promise.resolve()
  let batch = new MetricBatch()
  try {
    for (const page of rows.after(start)) {
      batch.add(page)
      last = batch.last
      // The network has its turn between two pages.
      await otherWork()
      if (!batch.isFull) continue
      await storing
      const full = batch
      storing = store(full)
      // It is waited for later: until then nobody must hear of a failure.
      storing.catch(() => {})
      batch = new MetricBatch()
    }
  } finally {
    await storing
  }
  if (batch.count + batch.refused.length > 0) await store(batch)
  await database.transaction({ role: 'nomaly_system', signal, retry: true }, (connection) =>
    ledger.advance(connection, table.name, { place: last, isDone: true, tally }, []),
  )
  return tally
}

interface RefusedPoint {
  readonly place: bigint
  readonly reason: Reason
  readonly detail: string
}

/** Rows as they come, until they are enough for an append. */
class MetricBatch {
  readonly refused: RefusedPoint[] = []
  readonly places = new BigInt64Array(BATCH_POINTS)
  count = 0
  last = 0n
  readonly #series = new Uint32Array(BATCH_POINTS)
  readonly #timesMs = new Float64Array(BATCH_POINTS)
  readonly #values = new Float64Array(BATCH_POINTS)

  /** Whether another page would not fit. */
  get isFull(): boolean {
    return this.count + this.refused.length + PAGE_ROWS > BATCH_POINTS
  }

  add(page: MetricPage): void {
    const { count, places, series, timesMs, values, problems } = page
    if (problems.size === 0) {
      this.places.set(places.subarray(0, count), this.count)
      this.#series.set(series.subarray(0, count), this.count)
      this.#timesMs.set(timesMs.subarray(0, count), this.count)
      this.#values.set(values.subarray(0, count), this.count)
      this.count += count
    } else
      for (let at = 0; at < count; at++) {
        if (series[at] === NO_SERIES) {
          this.refused.push({ place: places[at]!, reason: 'unstorable', detail: problems.get(at)! })
          continue
        }
        this.places[this.count] = places[at]!
        this.#series[this.count] = series[at]!
        this.#timesMs[this.count] = timesMs[at]!
        this.#values[this.count] = values[at]!
        this.count++
      }
    this.last = places[count - 1]!
  }

  points(source: SeriesSource, rows: MetricRows): PointBatch {
    const numbers = new Map<number, number>()
    const series = new Uint32Array(this.count)
    for (let at = 0; at < this.count; at++) {
      const known = this.#series[at]!
      let local = numbers.get(known)
      if (local === undefined) numbers.set(known, (local = numbers.size))
      series[at] = local
    }
    return {
      source,
      keys: [...numbers.keys()].map((known) => rows.keys[known]!),
      series,
      timesMs: this.#timesMs.subarray(0, this.count),
      values: this.#values.subarray(0, this.count),
    }
  }
}

function describe(table: SourceTable, tenantId: string, { place, reason, detail }: RefusedPoint): Refused {
  const [row] = table.rows(place - 1n)
  const values = row?.values ?? {}
  const id = values['id']
  return {
    place,
    tenantId,
    sourceId: typeof id === 'string' ? id : undefined,
    reason,
    detail,
    record: recordOf(values),
  }
}
