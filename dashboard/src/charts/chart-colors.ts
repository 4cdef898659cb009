import type { Severity } from '../api/entities.ts'

/** The colours of a chart, read from the page's style so that light and dark stand in one place. */
export interface ChartColors {
  readonly line: string
  readonly ink: string
  readonly inkSoft: string
  readonly grid: string
  readonly band: string
  readonly expected: string
  readonly surface: string
  readonly severity: Readonly<Record<Severity, string>>
}

/** Reads the colours that hold now. */
export function chartColors(element: Element): ChartColors {
  const style = getComputedStyle(element)
  const read = (name: string): string => style.getPropertyValue(name).trim()
  const accent = read('--accent')
  return {
    line: accent,
    ink: read('--ink'),
    inkSoft: read('--ink-soft'),
    grid: read('--line'),
    band: withAlpha(accent, 0.13),
    expected: withAlpha(accent, 0.45),
    surface: read('--surface'),
    severity: {
      low: read('--severity-low'),
      medium: read('--severity-medium'),
      high: read('--severity-high'),
      critical: read('--severity-critical'),
    },
  }
}

/** A `#rrggbb` colour with an opacity of 0 to 1. */
export function withAlpha(color: string, alpha: number): string {
  return `${color}${Math.round(alpha * 255)
    .toString(16)
    .padStart(2, '0')}`
}
