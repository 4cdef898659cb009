import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

/** One series of the Numenta Anomaly Benchmark, its times read as UTC. */
export interface NabSeries {
  readonly name: string
  readonly timesMs: Float64Array
  readonly values: Float64Array
  readonly windowsMs: readonly (readonly [first: number, last: number])[]
}

/** Reads every file under `folder` (with `data/<category>/*.csv` and `labels/combined_windows.json`). */
export function readNab(folder: string): NabSeries[] {
  const labels = JSON.parse(readFileSync(join(folder, 'labels/combined_windows.json'), 'utf8')) as Record<
    string,
    [string, string][]
  >
  const files = readdirSync(join(folder, 'data'), { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.csv'),
  )
  return files.toSorted().map((name) => {
    const rows = readFileSync(join(folder, 'data', name), 'utf8')
      .trim()
      .split('\n')
      .slice(1)
    const windows = labels[name.replaceAll('\\', '/')] ?? []
    return {
      name,
      timesMs: Float64Array.from(rows, (row) => utcMs(row.slice(0, row.indexOf(',')))),
      values: Float64Array.from(rows, (row) => Number(row.slice(row.indexOf(',') + 1))),
      windowsMs: windows.map(([first, last]) => [utcMs(first), utcMs(last)] as const),
    }
  })
}

function utcMs(text: string): number {
  return Date.parse(`${text.trim().replace(' ', 'T')}Z`)
}
