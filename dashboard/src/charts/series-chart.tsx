import 'uplot/dist/uPlot.min.css'
import { ActionIcon, Tooltip, useComputedColorScheme } from '@mantine/core'
import { IconArrowLeft, IconArrowRight, IconZoomIn, IconZoomOut, IconZoomReset } from '@tabler/icons-react'
import { useEffect, useEffectEvent, useRef, useState } from 'react'
import { formatCount, formatValue } from '../layout/format-number.ts'
import { formatTime, formatUtc } from '../layout/format-time.ts'
import { chartColors } from './chart-colors.ts'
import { addChartGestures } from './chart-gestures.ts'
import { type ChartContent, type ChartRange, type ChartReading, ChartView } from './chart-view.ts'
import classes from './series-chart.module.css'

interface SeriesChartProps extends ChartContent {
  /** A range to go to; going there again takes a new object. */
  readonly focus: ChartRange | undefined
  readonly onSelect: (id: string | undefined) => void
}

/** A series with its expected band and findings: drag to zoom, double click to see everything, click a finding to choose it. */
export function SeriesChart(props: SeriesChartProps) {
  const host = useRef<HTMLDivElement>(null)
  const view = useRef<ChartView>(undefined)
  const readout = useRef<HTMLDivElement>(null)
  const range = useRef<ChartRange>(undefined)
  const [isZoomed, setZoomed] = useState(false)
  const scheme = useComputedColorScheme('light')
  const select = useEffectEvent(props.onSelect)
  const create = useEffectEvent((element: HTMLDivElement): ChartView => {
    const shown = range.current
    const chart = new ChartView(element, props, sizeOf(element), {
      colors: chartColors(element),
      onSelect: (id) => select(id),
      onRead: (reading) => writeReading(readout.current, reading, props.metric),
      onRange: (next) => {
        range.current = next
        setZoomed(next !== undefined)
      },
    })
    if (shown !== undefined) chart.show(shown)
    return chart
  })

  useEffect(() => {
    const element = host.current
    if (element === null) return
    const chart = create(element)
    view.current = chart
    const resize = new ResizeObserver(() => chart.setSize(sizeOf(element)))
    resize.observe(element)
    const stopGestures = addChartGestures(element, () => view.current)
    return () => {
      stopGestures()
      resize.disconnect()
      view.current = undefined
      chart[Symbol.dispose]()
    }
    // Colours are read when the chart is made.
  }, [scheme])

  const { metric, points, band, marks, incidents, selectedId, focus } = props
  useEffect(() => {
    view.current?.setContent({ metric, points, band, marks, incidents, selectedId })
  }, [metric, points, band, marks, incidents, selectedId])
  useEffect(() => {
    if (focus !== undefined) view.current?.show(focus)
  }, [focus])

  return (
    <div className={classes.chart}>
      <div className={classes.bar}>
        <div ref={readout} className={classes.readout} aria-hidden>
          <RestingReading points={points.timesMs.length} truncated={points.truncated} />
        </div>
        <div className={classes.tools} role="toolbar" aria-label="Chart">
          <Tool label="Earlier" disabled={!isZoomed} onClick={() => view.current?.pan(-0.5)}>
            <IconArrowLeft size={16} stroke={1.6} />
          </Tool>
          <Tool label="Later" disabled={!isZoomed} onClick={() => view.current?.pan(0.5)}>
            <IconArrowRight size={16} stroke={1.6} />
          </Tool>
          <Tool label="Closer" onClick={() => view.current?.zoom(0.5)}>
            <IconZoomIn size={16} stroke={1.6} />
          </Tool>
          <Tool label="Wider" disabled={!isZoomed} onClick={() => view.current?.zoom(2)}>
            <IconZoomOut size={16} stroke={1.6} />
          </Tool>
          <Tool label="Show everything" disabled={!isZoomed} onClick={() => view.current?.show(undefined)}>
            <IconZoomReset size={16} stroke={1.6} />
          </Tool>
        </div>
      </div>
      <div
        ref={host}
        className={classes.host}
        tabIndex={0}
        role="img"
        aria-label={`${metric}: ${formatCount(points.timesMs.length)} points, ${marks.length} findings. Arrow keys move, plus and minus zoom, 0 shows everything.`}
        data-testid="series-chart"
      />
    </div>
  )
}

function RestingReading({ points, truncated }: { points: number; truncated: boolean }) {
  return (
    <span data-rest>
      {truncated ? `The newest ${formatCount(points)} points` : `${formatCount(points)} points`} · drag to
      zoom, double click for everything
    </span>
  )
}

function Tool(props: { label: string; disabled?: boolean; onClick: () => void; children: React.ReactNode }) {
  return (
    <Tooltip label={props.label} openDelay={400}>
      <ActionIcon
        variant="subtle"
        color="gray"
        aria-label={props.label}
        className={classes.tool}
        disabled={props.disabled ?? false}
        onClick={props.onClick}
      >
        {props.children}
      </ActionIcon>
    </Tooltip>
  )
}

function sizeOf(element: HTMLElement): { width: number; height: number } {
  return { width: Math.max(200, element.clientWidth), height: Math.max(160, element.clientHeight) }
}

/** Written past React: the cursor moves more often than a component should render. */
function writeReading(element: HTMLElement | null, reading: ChartReading | undefined, metric: string): void {
  if (element === null) return
  let live = element.querySelector<HTMLElement>('[data-live]')
  const rest = element.querySelector<HTMLElement>('[data-rest]')
  if (live === null) {
    live = document.createElement('span')
    live.dataset['live'] = ''
    element.append(live)
  }
  live.hidden = reading === undefined
  if (rest !== null) rest.hidden = reading !== undefined
  if (reading === undefined) return
  const band =
    reading.lower === null || reading.upper === null
      ? ''
      : `   expected ${formatValue(reading.lower, metric)} to ${formatValue(reading.upper, metric)}`
  live.textContent = `${formatTime(reading.timeMs, Date.now())}   ${formatValue(reading.value, metric)}${band}`
  live.title = formatUtc(reading.timeMs)
}
