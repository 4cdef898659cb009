import uPlot from 'uplot'
import type { BandColumns, PointColumns } from '../api/points.ts'
import { formatNumber, formatValue } from '../layout/format-number.ts'
import type { ChartColors } from './chart-colors.ts'
import {
  type ChartIncident,
  type ChartMark,
  drawIncidents,
  drawMarkers,
  drawRegions,
  markAt,
} from './chart-marks.ts'
import { timeLabels } from './time-labels.ts'
import { type VisibleColumns, visibleColumns } from './visible-columns.ts'

/** What a chart shows. */
export interface ChartContent {
  readonly metric: string
  readonly points: PointColumns
  readonly band: BandColumns | undefined
  readonly marks: readonly ChartMark[]
  readonly incidents: readonly ChartIncident[]
  readonly selectedId: string | undefined
}

/** The values under the cursor. */
export interface ChartReading {
  readonly timeMs: number
  readonly value: number | null
  readonly lower: number | null
  readonly upper: number | null
}

export interface ChartOptions {
  readonly colors: ChartColors
  readonly onSelect: (id: string | undefined) => void
  readonly onRead: (reading: ChartReading | undefined) => void
  /** Called with `undefined` when everything is shown again. */
  readonly onRange: (range: ChartRange | undefined) => void
}

/** A span of time in epoch milliseconds. */
export interface ChartRange {
  readonly fromMs: number
  readonly toMs: number
}

const NARROWEST_VIEW_MS = 1000

/** One uPlot that thins a large series anew for every range it shows. */
export class ChartView implements Disposable {
  readonly plot: uPlot
  readonly #options: ChartOptions
  #content: ChartContent
  /** What is shown, or `undefined` for everything, which then follows new points. */
  #range: ChartRange | undefined
  #columns: VisibleColumns | undefined
  #frame = 0
  /** Few enough points to draw each as a dot. */
  #sparse = false

  constructor(
    host: HTMLElement,
    content: ChartContent,
    size: { width: number; height: number },
    options: ChartOptions,
  ) {
    this.#content = content
    this.#options = options
    this.plot = new uPlot({ ...this.#plotOptions(), ...size }, [[], [], [], [], []], host)
    this.#redraw()
  }

  [Symbol.dispose](): void {
    cancelAnimationFrame(this.#frame)
    this.plot.destroy()
  }

  get range(): ChartRange {
    return this.#range ?? this.fullRange
  }

  get fullRange(): ChartRange {
    const { timesMs } = this.#content.points
    const fromMs = timesMs[0] ?? Date.now() - 3_600_000
    const toMs = timesMs.at(-1) ?? Date.now()
    return toMs > fromMs ? { fromMs, toMs } : { fromMs: fromMs - 30_000, toMs: toMs + 30_000 }
  }

  setContent(content: ChartContent): void {
    this.#content = content
    this.#schedule()
  }

  setSize(size: { width: number; height: number }): void {
    this.plot.setSize(size)
    this.#schedule()
  }

  /** Shows a range, kept inside the data; `undefined` shows everything. */
  show(range: ChartRange | undefined): void {
    this.#range = range === undefined ? undefined : this.#inside(range)
    this.#options.onRange(this.#range)
    this.#schedule()
  }

  /** Zooms around a point of the plot (0 left, 1 right); a factor below 1 comes closer. */
  zoom(factor: number, around = 0.5): void {
    const { fromMs, toMs } = this.range
    const span = toMs - fromMs
    const center = fromMs + span * around
    this.show({ fromMs: center - span * factor * around, toMs: center + span * factor * (1 - around) })
  }

  /** Moves by a share of what is shown. */
  pan(share: number): void {
    if (this.#range === undefined) return
    const { fromMs, toMs } = this.#range
    const by = (toMs - fromMs) * share
    this.show({ fromMs: fromMs + by, toMs: toMs + by })
  }

  #inside({ fromMs, toMs }: ChartRange): ChartRange | undefined {
    const full = this.fullRange
    const span = Math.max(toMs - fromMs, NARROWEST_VIEW_MS)
    if (span >= full.toMs - full.fromMs) return undefined
    const from = Math.min(Math.max(fromMs, full.fromMs), full.toMs - span)
    return { fromMs: from, toMs: from + span }
  }

  #schedule(): void {
    if (this.#frame !== 0) return
    this.#frame = requestAnimationFrame(() => {
      this.#frame = 0
      this.#redraw()
    })
  }

  #redraw(): void {
    const { fromMs, toMs } = this.range
    const width = this.plot.bbox.width / devicePixelRatio || this.plot.width
    const columns = visibleColumns(this.#content.points, this.#content.band, { fromMs, toMs }, width)
    this.#columns = columns
    this.#sparse = columns.count < width / 8
    this.plot.batch(() => {
      this.plot.setData(columns.data, false)
      this.plot.setScale('x', { min: fromMs, max: toMs })
      const extent = columns.extent ?? { min: 0, max: 1 }
      this.plot.setScale('y', extent)
    })
  }

  #plotOptions(): Omit<uPlot.Options, 'width' | 'height'> {
    const { colors } = this.#options
    const axis: uPlot.Axis = {
      stroke: colors.inkSoft,
      font: '12px system-ui, sans-serif',
      grid: { stroke: colors.grid, width: 1 },
      ticks: { show: false },
    }
    return {
      ms: 1,
      padding: [10, 26, 0, 0],
      legend: { show: false },
      scales: { x: { time: true, auto: false }, y: { auto: false } },
      axes: [
        { ...axis, grid: { show: false }, space: 84, size: 44, values: timeLabels },
        {
          ...axis,
          size: (_, labels) => Math.max(38, ...(labels ?? []).map((label) => label.length * 6.6 + 14)),
          values: (_, splits) => splits.map((split) => axisLabel(split, splits, this.#content.metric)),
        },
      ],
      series: [
        {},
        { stroke: colors.line, width: 1.4, points: { size: 5, fill: colors.line, show: () => this.#sparse } },
        { ...withoutDots, stroke: colors.expected, width: 1, dash: [4, 4] },
        withoutDots,
        withoutDots,
      ],
      bands: [{ series: [4, 3], fill: colors.band }],
      cursor: {
        y: false,
        drag: { x: true, y: false, setScale: false, dist: 6 },
        points: { size: 7 },
        bind: { dblclick: () => () => (this.show(undefined), null) },
      },
      hooks: {
        drawClear: [(u) => drawRegions(u, this.#content.marks, this.#content.selectedId, colors)],
        draw: [
          (u) => {
            drawMarkers(u, this.#content.marks, this.#content.selectedId, colors)
            drawIncidents(u, this.#content.incidents, colors)
          },
        ],
        setSelect: [
          (u) => {
            const { left, width } = u.select
            if (width < 6) return
            this.show({ fromMs: u.posToVal(left, 'x'), toMs: u.posToVal(left + width, 'x') })
            u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false)
          },
        ],
        setCursor: [(u) => this.#options.onRead(this.#reading(u.cursor.idx))],
        ready: [(u) => this.#listenForClicks(u)],
      },
    }
  }

  #reading(index: number | null | undefined): ChartReading | undefined {
    const data = this.#columns?.data
    if (data === undefined || index === null || index === undefined) return undefined
    const timeMs = data[0][index]
    if (timeMs === undefined) return undefined
    return {
      timeMs,
      value: data[1][index] ?? null,
      lower: data[3][index] ?? null,
      upper: data[4][index] ?? null,
    }
  }

  #listenForClicks(u: uPlot): void {
    let downX = 0
    u.over.addEventListener('pointerdown', (event) => {
      downX = event.clientX
    })
    u.over.addEventListener('click', (event) => {
      if (Math.abs(event.clientX - downX) > 5) return
      const box = u.over.getBoundingClientRect()
      const mark = markAt(u, this.#content.marks, event.clientX - box.left, event.clientY - box.top)
      if (mark !== undefined) this.#options.onSelect(mark.id)
    })
  }
}

/** No dots on the line, and none under the cursor (see the style sheet). */
const withoutDots: uPlot.Series = { points: { show: false }, class: 'without-dot' }

const formats: Intl.NumberFormat[] = []

/** Making a format costs more than using it, and labels are made anew in every frame of a zoom. */
function fixedDigits(digits: number): Intl.NumberFormat {
  return (formats[digits] ??= new Intl.NumberFormat(undefined, {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  }))
}

function axisLabel(split: number, splits: readonly number[], metric: string): string {
  // Neighbouring labels of a narrow range must differ, which four significant digits may not show.
  const step = Math.abs((splits[1] ?? split) - (splits[0] ?? split))
  const largest = Math.max(...splits.map(Math.abs))
  if (step > 0 && largest / step > 500 && largest < 1e9 && !/(bytes|_ratio)$/.test(metric)) {
    const digits = Math.min(Math.max(0, Math.ceil(-Math.log10(step))), 12)
    return fixedDigits(digits).format(split)
  }
  return /(bytes|_ratio)$/.test(metric) ? formatValue(split, metric) : formatNumber(split)
}
