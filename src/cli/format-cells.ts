/** `2026-01-31 12:00:05` in UTC: seconds only where they are not zero, the time of day only where it is not midnight. */
export function formatTime(time: string | number | null | undefined): string {
  if (time === null || time === undefined) return '–'
  const iso = new Date(time).toISOString()
  const [day, clock] = [iso.slice(0, 10), iso.slice(11, 23)]
  if (clock.endsWith(':00.000')) return `${day} ${clock.slice(0, 5)}`
  return `${day} ${clock.endsWith('.000') ? clock.slice(0, 8) : clock}`
}

/** Six digits that matter at most; thousands set apart. */
export function formatNumber(value: number | string): string {
  const number = Number(value)
  if (!Number.isFinite(number)) return String(value)
  const size = Math.abs(number)
  if (size !== 0 && (size < 1e-4 || size >= 1e12)) return number.toExponential(3)
  return number.toLocaleString('en-US', {
    maximumSignificantDigits: size >= 1e5 ? 12 : 5,
    maximumFractionDigits: 6,
  })
}

/** A count with its noun: `1 finding`, `12,000 points`, `2 series`. */
export function count(amount: number, one: string, many = `${one}s`): string {
  return `${amount.toLocaleString('en-US')} ${amount === 1 ? one : many}`
}

/** `cpu.load host=a region=eu`. */
export function seriesName(metric: string, tags: Readonly<Record<string, string>>): string {
  return [metric, ...Object.entries(tags).map(([name, value]) => `${name}=${value}`)].join(' ')
}

/** A false-alarm budget in words: `1 per week`, `3 per 2 hours`. */
export function formatBudget(budget: { readonly alarms: number; readonly perSeconds: number }): string {
  const [size, unit] = UNITS.find(([seconds]) => budget.perSeconds % seconds === 0) ?? [1, 'second']
  const span = budget.perSeconds / size
  return `${formatNumber(budget.alarms)} per ${span === 1 ? unit : `${formatNumber(span)} ${unit}s`}`
}

const UNITS: readonly (readonly [number, string])[] = [
  [31_536_000, 'year'],
  [2_592_000, 'month'],
  [604_800, 'week'],
  [86_400, 'day'],
  [3600, 'hour'],
  [60, 'minute'],
]
