import type uPlot from 'uplot'

const DAY_MS = 86_400_000

const year = new Intl.DateTimeFormat(undefined, { year: 'numeric' })
const month = new Intl.DateTimeFormat(undefined, { month: 'short', year: 'numeric' })
const day = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' })
const minute = new Intl.DateTimeFormat(undefined, { hour: 'numeric', minute: '2-digit' })
const second = new Intl.DateTimeFormat(undefined, { hour: 'numeric', minute: '2-digit', second: '2-digit' })
const fraction = new Intl.DateTimeFormat(undefined, {
  minute: '2-digit',
  second: '2-digit',
  fractionalSecondDigits: 3,
})

/** Labels of a time axis in the viewer's zone and language; the day stands below the first time of each day. */
export function timeLabels(
  _: uPlot,
  splits: number[],
  _axis: number,
  _space: number,
  increment: number,
): string[] {
  const main = formatFor(increment)
  let before = ''
  return splits.map((split) => {
    const label = main.format(split)
    if (increment >= DAY_MS) return label
    const date = day.format(split)
    const first = date !== before
    before = date
    return first ? `${label}\n${date}` : label
  })
}

function formatFor(increment: number): Intl.DateTimeFormat {
  if (increment >= 360 * DAY_MS) return year
  if (increment >= 28 * DAY_MS) return month
  if (increment >= DAY_MS) return day
  if (increment >= 60_000) return minute
  return increment >= 1000 ? second : fraction
}
