import type { TenantScope } from '../access/tenant-scope.ts'
import type { Freshness } from '../database/position.ts'
import type { Dataset } from '../datasets/dataset.ts'
import { CsvEncoder } from '../exporting/csv-encoder.ts'
import { NdjsonEncoder } from '../exporting/ndjson-encoder.ts'
import { ParquetEncoder } from '../exporting/parquet-encoder.ts'
import type { ExportFormat, PointEncoder, PointRun } from '../exporting/point-encoder.ts'
import type { PointColumns, Series, SeriesKey, TimeRange } from '../metrics/metrics-engine.ts'
import type { Store } from '../store/store.ts'

export interface ExportOptions {
  readonly format: ExportFormat
  readonly range: TimeRange
  readonly metric?: string | undefined
  /** How new the points are at least; series are the latest. */
  readonly freshness?: Freshness
}

/** Series that are looked up at once. */
const PAGE_SERIES = 256

/**
 * Points that are held at once, 1 MB of them. They are taken out before any is given to the reader, so that a slow one keeps no
 * connection; and they are less than what an engine reads ahead, so that nothing is read twice.
 */
const SLICE_POINTS = 57_344

/**
 * The points of a dataset as a file, series after series, in pieces of a few MB at most. What is written while it runs may be in it or not.
 * @throws NomalyError `not_found` when the dataset is deleted meanwhile: what came before is not whole then.
 */
export async function* exportPoints(
  store: Store,
  scope: TenantScope,
  dataset: Dataset,
  options: ExportOptions,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, void> {
  const tagNames =
    options.format === 'csv' ? await commonTagNames(store, scope, dataset, options, signal) : undefined
  const encoder = createEncoder(options.format, tagNames)
  // Given out with the first points: until then nothing has gone to the reader, who can be told what is wrong.
  let before: Uint8Array | undefined = encoder.begin()
  for await (const page of seriesPages(store, scope, dataset, options, signal)) {
    // One that was made since the columns were chosen may have no place in them.
    const fitting = tagNames === undefined ? page : page.filter(({ tags }) => hasTagNames(tags, tagNames))
    for await (const run of readRuns(store, scope, fitting, options, signal)) {
      if (before !== undefined && before.length > 0) yield before
      before = undefined
      const bytes = encoder.encode(run)
      if (bytes.length > 0) yield bytes
    }
  }
  await store.read(scope, 'latest', signal).datasets.get(dataset.id)
  const rest = Buffer.concat([before ?? Buffer.alloc(0), encoder.end()])
  if (rest.length > 0) yield rest
}

function createEncoder(format: ExportFormat, tagNames: readonly string[] | undefined): PointEncoder {
  if (format === 'ndjson') return new NdjsonEncoder()
  return format === 'csv' ? new CsvEncoder(tagNames) : new ParquetEncoder()
}

/** The names of tags that all series have, none more and none less; `undefined` where they differ, or there are none. */
async function commonTagNames(
  store: Store,
  scope: TenantScope,
  dataset: Dataset,
  options: ExportOptions,
  signal: AbortSignal,
): Promise<readonly string[] | undefined> {
  let names: readonly string[] | undefined
  for await (const page of seriesPages(store, scope, dataset, options, signal))
    for (const { tags } of page) {
      names ??= Object.keys(tags).toSorted()
      if (names.length === 0 || !hasTagNames(tags, names)) return undefined
    }
  return names
}

function hasTagNames(tags: SeriesKey['tags'], names: readonly string[]): boolean {
  return Object.keys(tags).length === names.length && names.every((name) => Object.hasOwn(tags, name))
}

async function* seriesPages(
  store: Store,
  scope: TenantScope,
  dataset: Dataset,
  { metric }: ExportOptions,
  signal: AbortSignal,
): AsyncGenerator<readonly Series[], void, void> {
  let afterId = 0
  for (;;) {
    signal.throwIfAborted()
    const page = await store.metrics.listSeries(scope, {
      sourceId: dataset.id,
      limit: PAGE_SERIES,
      afterId,
      ...(metric === undefined ? {} : { metric }),
    })
    if (page.length > 0) yield page
    if (page.length < PAGE_SERIES) return
    afterId = page.at(-1)!.id
  }
}

/** All points of some series, one series after the other. */
async function* readRuns(
  store: Store,
  scope: TenantScope,
  page: readonly Series[],
  { range, freshness }: ExportOptions,
  signal: AbortSignal,
): AsyncGenerator<PointRun, void, void> {
  const keys = new Map<number, SeriesKey>(page.map((series) => [series.id, series]))
  const ids = page.map(({ id }) => id)
  let position = 0
  /** Of the series at `position`: the last instant that was given out. */
  let lastMicros: number | undefined
  while (position < ids.length) {
    const wanted = lastMicros === undefined ? ids.slice(position) : [ids[position]!]
    // One microsecond early, since the fraction of a millisecond is not exact; what comes again is left out.
    const fromMs = lastMicros === undefined ? range.fromMs : Math.max(range.fromMs, (lastMicros - 1) / 1000)
    const scan = (): AsyncIterable<PointColumns> =>
      store.metrics.scan(scope, wanted, { fromMs, toMs: range.toMs }, signal, freshness)
    const slice = await takeSlice(scan, lastMicros)
    for (const { seriesId, ...run } of slice.runs) {
      const key = keys.get(seriesId)!
      yield { key: { metric: key.metric, tags: key.tags }, ...run }
    }
    const last = slice.runs.at(-1)
    if (slice.isWhole) {
      position += wanted.length
      lastMicros = undefined
    } else {
      position = ids.indexOf(last!.seriesId)
      lastMicros = last!.micros.at(-1)
    }
  }
}

interface Slice {
  readonly runs: readonly (Omit<PointRun, 'key'> & { readonly seriesId: number })[]
  /** Whether nothing was left. */
  readonly isWhole: boolean
}

async function takeSlice(
  scan: () => AsyncIterable<PointColumns>,
  afterMicros: number | undefined,
): Promise<Slice> {
  const runs: (Omit<PointRun, 'key'> & { seriesId: number })[] = []
  let points = 0
  for await (const { seriesId, timesMs, values } of scan()) {
    const micros = timesMs.map((ms) => Math.round(ms * 1000))
    let skip = 0
    while (afterMicros !== undefined && skip < micros.length && micros[skip]! <= afterMicros) skip++
    if (skip === micros.length) continue
    runs.push({ seriesId, micros: micros.subarray(skip), values: values.subarray(skip) })
    points += micros.length - skip
    if (points >= SLICE_POINTS) return { runs, isWhole: false }
  }
  return { runs, isWhole: true }
}
