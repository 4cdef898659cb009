import { DatabaseSync } from 'node:sqlite'
import type { PointBatch, SeriesSource } from '../../src/metrics/metrics-engine.ts'

const START_MS = Date.UTC(2025, 5, 1)
const STEP_MS = 10_000
const SERIES = 100

/** The row at a place, as the original writes them: one after the other in time, each of another series than the one before. */
function rowAt(at: number): { name: string; host: string; timeMs: number; value: number } {
  const series = at % SERIES
  return {
    name: `metric_${series % 10}`,
    host: `host-${Math.floor(series / 10)}`,
    timeMs: START_MS + Math.floor(at / SERIES) * STEP_MS,
    value: 100 + 10 * Math.sin(at / 7919) + (at % 1000) / 997,
  }
}

/** Writes a database with so many rows of metrics. */
export function writeMetricsSource(path: string, rows: number): void {
  const database = new DatabaseSync(path)
  try {
    database.exec(
      `create table metrics (id varchar(36) not null, name varchar(255) not null, value float not null, unit varchar(50), tags text,
         timestamp datetime not null, entity_type varchar(100), entity_id varchar(36), meta_data text, primary key (id)); begin`,
    )
    const insert = database.prepare(
      'insert into metrics (id, name, value, unit, tags, timestamp) values (?, ?, ?, ?, ?, ?)',
    )
    for (let at = 0; at < rows; at++) {
      const { name, host, timeMs, value } = rowAt(at)
      const time = `${new Date(timeMs).toISOString().slice(0, 19).replace('T', ' ')}.000000`
      const id = `${at.toString(16).padStart(8, '0')}-7f3c-4000-8000-000000000000`
      insert.run(id, name, value, 'ms', `{"host": "${host}", "region": "north"}`, time)
    }
    database.exec('commit')
  } finally {
    database.close()
  }
}

/** The same rows as points, for whoever copies them by hand. */
export function metricPoints(rows: number, source: SeriesSource): PointBatch {
  const indexes = Array.from({ length: rows }, (_, at) => at)
  const keys = indexes.slice(0, SERIES).map((at) => {
    const { name, host } = rowAt(at)
    return { metric: name, tags: { host, region: 'north', unit: 'ms' } }
  })
  return {
    source,
    keys,
    series: Uint32Array.from(indexes, (at) => at % SERIES),
    timesMs: Float64Array.from(indexes, (at) => rowAt(at).timeMs),
    values: Float64Array.from(indexes, (at) => rowAt(at).value),
  }
}
