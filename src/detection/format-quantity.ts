const UNITS: readonly (readonly [ms: number, name: string, names: string])[] = [
  [604_800_000, 'week', 'weeks'],
  [86_400_000, 'day', 'days'],
  [3_600_000, 'h', 'h'],
  [60_000, 'min', 'min'],
  [1000, 's', 's'],
  [1, 'ms', 'ms'],
]

/** A span in words with at most two digits that matter: `24 h`, `7 days`, `5 min`. */
export function formatDuration(ms: number): string {
  if (ms === 86_400_000) return '24 h'
  if (ms === 604_800_000) return '7 days'
  if (ms >= 365.25 * 86_400_000 * 2)
    return `${Math.round(ms / (365.25 * 86_400_000)).toLocaleString('en-US')} years`
  for (const [size, name, names] of UNITS) {
    if (ms < size * 1.5 && size > 1) continue
    const amount = ms / size
    const text = amount < 10 ? String(Math.round(amount * 10) / 10) : String(Math.round(amount))
    return `${text} ${text === '1' ? name : names}`
  }
  return `${ms} ms`
}

/** A value with four digits that matter and thousands set apart: `12,340`, `0.01235`, `1.2e-12`. */
export function formatValue(value: number): string {
  const size = Math.abs(value)
  if (size !== 0 && (size < 1e-4 || size >= 1e9)) return value.toExponential(2).replace('e+', 'e')
  if (size >= 1000) return Math.round(value).toLocaleString('en-US')
  return String(Number(value.toPrecision(4)))
}
