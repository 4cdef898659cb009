const plain = new Intl.NumberFormat(undefined, { maximumSignificantDigits: 4 })
const compact = new Intl.NumberFormat(undefined, { notation: 'compact', maximumSignificantDigits: 4 })
const whole = new Intl.NumberFormat()

/** A count with separators: 22,695. */
export const formatCount = (count: number): string => whole.format(count)

/** A number for people: four significant digits or all before the point, millions shortened, minute ones in powers of ten. */
export function formatNumber(value: number | string | null | undefined): string {
  if (value === null || value === undefined) return '–'
  const number = Number(value)
  if (Number.isNaN(number)) return 'NaN'
  if (!Number.isFinite(number)) return number > 0 ? '∞' : '−∞'
  const size = Math.abs(number)
  if (size !== 0 && size < 1e-4) return number.toExponential(1)
  if (size >= 1e15) return number.toExponential(3)
  if (size >= 1e6) return compact.format(number)
  return size >= 1000 ? whole.format(Math.round(number)) : plain.format(number)
}

const byteUnits = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']

/** A value with the unit that the metric's name ends in: bytes, ms, seconds, percent or ratio. */
export function formatValue(value: number | string | null | undefined, metric: string): string {
  const number = Number(value ?? Number.NaN)
  if (Number.isFinite(number)) {
    if (metric.endsWith('bytes')) {
      const size = Math.abs(number)
      const step = size < 1024 ? 0 : Math.min(Math.floor(Math.log2(size) / 10), byteUnits.length - 1)
      return `${plain.format(number / 1024 ** step)} ${byteUnits[step]}`
    }
    if (/(percent|_pct)$/.test(metric)) return `${formatNumber(number)} %`
    if (metric.endsWith('_ratio')) return `${formatNumber(number * 100)} %`
    if (/_(ms|milliseconds)$/.test(metric)) return `${formatNumber(number)} ms`
    if (metric.endsWith('_seconds')) return `${formatNumber(number)} s`
  }
  return formatNumber(value)
}

/** A tail probability as a frequency: "1 in 4.3 million". */
export function formatProbability(probability: number): string {
  if (!(probability > 0)) return 'practically never'
  if (probability >= 0.5) return 'common'
  return `1 in ${new Intl.NumberFormat(undefined, { notation: 'compact', compactDisplay: 'long', maximumSignificantDigits: 2 }).format(1 / probability)}`
}
