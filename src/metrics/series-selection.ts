import pg from 'pg'
import { NomalyError } from '../errors.ts'
import { int4Literal, readArray } from './array-text.ts'
import type { SeriesGroups } from './bucket-statement.ts'
import type { MetricQuery } from './metric-query.ts'
import type { RetentionClass, SeriesId } from './metrics-engine.ts'
import { possibleIds } from './owned-series.ts'
import { isStorableText } from './series-key.ts'
import { isSourceId } from './source-lock.ts'

/** Most series of one query. */
export const MAX_SERIES_PER_QUERY = 100_000

/** The series of a query that the tenant owns. */
export interface SelectedSeries {
  readonly byClass: ReadonlyMap<RetentionClass, Int32Array>
  readonly count: number
  /** The lowest id of each series' group; `undefined` where each series is its own, or the only one. */
  readonly groups: SeriesGroups | undefined
  /** What groups are called, by their lowest id; empty where groups were not asked for. */
  readonly names: ReadonlyMap<SeriesId, string>
}

/**
 * The statement that finds the series of a query, as `nomaly_app`, for {@link toSelected}; `undefined` where there can be none. Texts are
 * checked to be storable, and quoted by the driver.
 */
export function selectionStatement(series: MetricQuery['series']): string | undefined {
  if (!('sourceId' in series)) {
    const ids = possibleIds(series)
    return ids.length === 0 ? undefined : `select * from metrics.find_series(${int4Literal(ids)})`
  }
  const { sourceId, metric, tags } = series
  const texts = [metric ?? '', ...Object.entries(tags ?? {}).flat()]
  if (!isSourceId(sourceId) || !texts.every(isStorableText)) return undefined
  const literal = (text: string | undefined) => (text === undefined ? 'null' : pg.escapeLiteral(text))
  const tagsText = tags === undefined ? undefined : JSON.stringify(tags)
  return `select * from metrics.find_series('${sourceId}', ${literal(metric)}, ${literal(tagsText)}, ${MAX_SERIES_PER_QUERY + 1})`
}

/**
 * Makes out of what {@link selectionStatement} answers which series there are.
 * @throws NomalyError `too_large` for more than {@link MAX_SERIES_PER_QUERY}.
 */
export function toSelected(
  rows: readonly unknown[][],
  groupBy: MetricQuery['groupBy'] = 'series',
): SelectedSeries {
  const found = (rows as [RetentionClass, string, string][]).map(([retention, metric, ids]) => {
    return { retention, name: groupBy === 'metric' ? metric : '', ids: readArray(ids) }
  })
  const count = found.reduce((sum, { ids }) => sum + ids.length, 0)
  if (count > MAX_SERIES_PER_QUERY)
    throw new NomalyError('too_large', `This query is of more than ${MAX_SERIES_PER_QUERY} series.`, {
      hint: 'Name a metric or more tags.',
    })
  const byClass = new Map(
    [...Map.groupBy(found, ({ retention }) => retention)].map(([retention, parts]) => [
      retention,
      Int32Array.from(parts.flatMap(({ ids }) => ids)),
    ]),
  )
  if (groupBy === 'series') return { byClass, count, groups: undefined, names: new Map() }
  const lowest = new Map<string, SeriesId>()
  for (const { name, ids } of found)
    lowest.set(
      name,
      ids.reduce((low, id) => Math.min(low, id), lowest.get(name) ?? Infinity),
    )
  const names = new Map([...lowest].map(([name, id]) => [id, name]))
  // What is of one series is not put together from several.
  if (count === 1) return { byClass, count, groups: undefined, names }
  return {
    byClass,
    count,
    groups: {
      ids: Int32Array.from(found.flatMap(({ ids }) => ids)),
      groups: Int32Array.from(found.flatMap(({ name, ids }) => ids.map(() => lowest.get(name)!))),
    },
    names,
  }
}
