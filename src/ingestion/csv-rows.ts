import { POINT_LIMITS } from '../metrics/metrics-engine.ts'
import type { ColumnPlan } from './column-plan.ts'
import { isMissing, numberReader, type CellReader } from './number-format.ts'
import { timeProblem, valueTooLarge, type PointCollector } from './point-collector.ts'
import { timeReader } from './row-reader.ts'
import { shorten } from './series-table.ts'

function tagName(column: string): string {
  return column.slice(0, POINT_LIMITS.maxTagKeyLength).toWellFormed()
}

/** Turns the rows of one table into points as its plan says. */
export class CsvRows {
  readonly plan: ColumnPlan
  readonly #collector: PointCollector
  readonly #rowStepMs: number
  readonly #timeOf: ((row: readonly string[]) => number) | undefined
  readonly #readers: { index: number; name: string; metric: string; read: CellReader }[]
  readonly #series = new Map<string, number | string>()
  #rows = 0

  constructor(plan: ColumnPlan, collector: PointCollector, rowStepMs = 1000) {
    this.plan = plan
    this.#collector = collector
    this.#rowStepMs = rowStepMs
    this.#timeOf = plan.time === undefined ? undefined : timeReader(plan.time)
    this.#readers = plan.values.map(({ index, name, metric, number }) => ({
      index,
      name,
      metric,
      read: numberReader(number),
    }))
  }

  /** Adds the points of one row; yields whenever the collector is full and must be emptied before going on. */
  *add(cells: readonly string[], line: number): Generator<void> {
    const row = this.#rows
    this.#rows += 1
    if (cells.length !== this.plan.columns && !this.#onlyEmptyBeyond(cells)) {
      this.#collector.reject(line, `row: ${cells.length} columns, the table has ${this.plan.columns}`)
      return
    }
    const timeMs = this.#timeOf === undefined ? row * this.#rowStepMs : this.#timeOf(cells)
    if (!(timeMs >= POINT_LIMITS.minTimeMs && timeMs <= POINT_LIMITS.maxTimeMs)) {
      this.#collector.reject(line, this.#timeProblem(cells, timeMs))
      return
    }
    for (const { index, name, metric, read } of this.#readers) {
      const value = read(cells[index]!)
      if (value === undefined) continue
      if (value === null) {
        this.#collector.reject(
          line,
          `${shorten(name)}: "${shorten(cells[index]!)}" is not a number like the others`,
        )
        continue
      }
      if (Number.isFinite(value) && Math.abs(value) > POINT_LIMITS.maxAbsoluteValue) {
        this.#collector.reject(line, valueTooLarge(shorten(name)))
        continue
      }
      const series = this.#seriesOf(metric, cells)
      if (typeof series === 'string') {
        this.#collector.reject(line, series)
        continue
      }
      this.#collector.push(series, timeMs, value, line)
      if (this.#collector.full) yield
    }
  }

  #onlyEmptyBeyond(cells: readonly string[]): boolean {
    return (
      cells.length > this.plan.columns && cells.slice(this.plan.columns).every((cell) => cell.trim() === '')
    )
  }

  #timeProblem(cells: readonly string[], timeMs: number): string {
    const { name, index } = this.plan.time!
    const cell = cells[index]!
    if (isMissing(cell)) return `${shorten(name)}: the time is missing`
    if (!Number.isNaN(timeMs)) return timeProblem(cell, timeMs)
    return `${shorten(name)}: "${shorten(cell)}" is not a time like the others (${this.plan.time!.format})`
  }

  #seriesOf(metric: string, cells: readonly string[]): number | string {
    const { tags, metric: metricColumn } = this.plan
    let spelling = metricColumn === undefined ? metric : cells[metricColumn.index]!
    for (const { index } of tags) spelling += `\n${cells[index]!.length}:${cells[index]!}`
    let series = this.#series.get(spelling)
    if (series === undefined) {
      const found: Record<string, string> = Object.create(null) as Record<string, string>
      for (const { index, name } of tags)
        if (!isMissing(cells[index]!)) found[tagName(name)] = cells[index]!.trim()
      const named = metricColumn === undefined ? metric : cells[metricColumn.index]!.trim()
      series = this.#collector.table.find(named, found)
      if (typeof series === 'number') this.#series.set(spelling, series)
    }
    return series
  }
}
