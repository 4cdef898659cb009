import type uPlot from 'uplot'
import type { Severity } from '../api/entities.ts'
import { type ChartColors, withAlpha } from './chart-colors.ts'

/** A finding as the chart draws it. */
export interface ChartMark {
  readonly id: string
  readonly fromMs: number
  readonly toMs: number
  readonly peakMs: number
  readonly observed: number | undefined
  readonly severity: Severity
  /** Put aside by someone: drawn faintly. */
  readonly quiet: boolean
}

/** Something known to have happened, drawn as a bracket along the top. */
export interface ChartIncident {
  readonly fromMs: number
  readonly toMs: number
  readonly what: string
}

const MARKER_RADIUS = 4.5
const NARROWEST_REGION = 3

/** Shades the time of every finding, under the line. */
export function drawRegions(
  u: uPlot,
  marks: readonly ChartMark[],
  selectedId: string | undefined,
  colors: ChartColors,
): void {
  const { ctx, bbox } = u
  ctx.save()
  clip(u)
  for (const mark of marks) {
    const [left, width] = region(u, mark)
    if (left + width < bbox.left || left > bbox.left + bbox.width) continue
    const selected = mark.id === selectedId
    ctx.fillStyle = withAlpha(
      colors.severity[mark.severity],
      selected ? 0.24 : mark.quiet ? 0.05 : width > NARROWEST_REGION * devicePixelRatio ? 0.14 : 0.1,
    )
    ctx.fillRect(left, bbox.top, width, bbox.height)
  }
  ctx.restore()
}

/** Puts a marker on every finding's peak, over the line; shapes tell severities apart without colour. */
export function drawMarkers(
  u: uPlot,
  marks: readonly ChartMark[],
  selectedId: string | undefined,
  colors: ChartColors,
): void {
  const { ctx } = u
  const scale = devicePixelRatio
  ctx.save()
  clip(u)
  for (const mark of marks) {
    const x = u.valToPos(mark.peakMs, 'x', true)
    if (x < u.bbox.left - 10 || x > u.bbox.left + u.bbox.width + 10) continue
    const y = markerY(u, mark)
    const selected = mark.id === selectedId
    const radius = (selected ? MARKER_RADIUS * 1.5 : MARKER_RADIUS) * scale
    ctx.globalAlpha = mark.quiet && !selected ? 0.45 : 1
    ctx.beginPath()
    if (mark.severity === 'critical') {
      ctx.moveTo(x, y - radius * 1.2)
      ctx.lineTo(x + radius * 1.2, y)
      ctx.lineTo(x, y + radius * 1.2)
      ctx.lineTo(x - radius * 1.2, y)
      ctx.closePath()
    } else ctx.arc(x, y, radius, 0, Math.PI * 2)
    ctx.fillStyle = mark.severity === 'low' || mark.quiet ? colors.surface : colors.severity[mark.severity]
    ctx.strokeStyle = mark.severity === 'low' || mark.quiet ? colors.severity[mark.severity] : colors.surface
    ctx.lineWidth = 1.5 * scale
    ctx.fill()
    ctx.stroke()
    if (!selected) continue
    ctx.beginPath()
    ctx.arc(x, y, radius + 4 * scale, 0, Math.PI * 2)
    ctx.strokeStyle = colors.severity[mark.severity]
    ctx.stroke()
  }
  ctx.restore()
}

/** Draws a numbered bracket along the top edge over what is known to have happened. */
export function drawIncidents(u: uPlot, incidents: readonly ChartIncident[], colors: ChartColors): void {
  const { ctx, bbox } = u
  const scale = devicePixelRatio
  ctx.save()
  clip(u)
  ctx.strokeStyle = colors.inkSoft
  ctx.fillStyle = colors.ink
  ctx.lineWidth = 1.5 * scale
  ctx.font = `600 ${11 * scale}px system-ui, sans-serif`
  ctx.textBaseline = 'top'
  ctx.textAlign = 'center'
  for (const [index, incident] of incidents.entries()) {
    const from = u.valToPos(incident.fromMs, 'x', true)
    const to = Math.max(from + 6 * scale, u.valToPos(incident.toMs, 'x', true))
    const top = bbox.top + 2 * scale
    ctx.beginPath()
    ctx.moveTo(from, top + 5 * scale)
    ctx.lineTo(from, top)
    ctx.lineTo(to, top)
    ctx.lineTo(to, top + 5 * scale)
    ctx.stroke()
    ctx.fillText(String(index + 1), (from + to) / 2, top + 5 * scale)
  }
  ctx.restore()
}

/** The finding under a position of the plot in CSS pixels: the nearest marker first, then the narrowest region. */
export function markAt(
  u: uPlot,
  marks: readonly ChartMark[],
  left: number,
  top: number,
): ChartMark | undefined {
  let best: ChartMark | undefined
  let bestDistance = 14
  for (const mark of marks) {
    const dx = u.valToPos(mark.peakMs, 'x') - left
    if (Math.abs(dx) > bestDistance) continue
    const distance = Math.hypot(dx, (markerY(u, mark) - u.bbox.top) / devicePixelRatio - top)
    if (distance >= bestDistance) continue
    best = mark
    bestDistance = distance
  }
  if (best !== undefined) return best
  const time = u.posToVal(left, 'x')
  const slack = u.posToVal(left + 4, 'x') - time
  let narrowest = Infinity
  for (const mark of marks) {
    const inside = mark.fromMs - slack <= time && time <= mark.toMs + slack
    if (!inside || mark.toMs - mark.fromMs >= narrowest) continue
    best = mark
    narrowest = mark.toMs - mark.fromMs
  }
  return best
}

function region(u: uPlot, mark: ChartMark): [left: number, width: number] {
  const from = u.valToPos(mark.fromMs, 'x', true)
  const to = u.valToPos(mark.toMs, 'x', true)
  const width = Math.max(to - from, NARROWEST_REGION * devicePixelRatio)
  return [(from + to - width) / 2, width]
}

function markerY(u: uPlot, mark: ChartMark): number {
  const { top, height } = u.bbox
  if (mark.observed === undefined) return top + 12 * devicePixelRatio
  const inset = MARKER_RADIUS * 1.6 * devicePixelRatio
  return Math.min(Math.max(u.valToPos(mark.observed, 'y', true), top + inset), top + height - inset)
}

function clip(u: uPlot): void {
  u.ctx.beginPath()
  u.ctx.rect(u.bbox.left, u.bbox.top, u.bbox.width, u.bbox.height)
  u.ctx.clip()
}
