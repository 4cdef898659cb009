import type { EventFacts } from './event-tracker.ts'
import { formatDuration, formatValue } from './format-quantity.ts'

/** What the sentence needs beside the event itself. */
export interface ExplanationContext {
  /** The season's period, when there is one. */
  readonly periodMs: number | undefined
  /** The time in which the budget allows one false alarm. */
  readonly budgetMs: number
  /** Set when the series is a counter and its growth is what was looked at. */
  readonly counter: boolean
}

const LONGEST_MS = 1000 * 365.25 * 86_400_000

/** One or two sentences for a reader who knows no statistics: what was seen, what would have been normal, how rare that is. */
export function explainEvent(event: EventFacts, context: ExplanationContext): string {
  const [lower, upper] = [formatValue(event.lower), formatValue(event.upper)]
  const band = lower === upper ? `about ${lower}` : `${lower} to ${upper}`
  const when =
    context.periodMs === undefined ? 'lately' : `at this point of its ${rhythm(context.periodMs)} rhythm`
  const observed = formatValue(event.observed)
  const seen = context.counter ? `The count grew to ${observed}` : `The value was ${observed}`
  const rare = ` ${rarity(event.decades, context.budgetMs)}`
  switch (event.channel) {
    case 'above': {
      const compared = context.counter ? 'faster than normal' : 'higher than normal'
      return `${seen}, ${compared}; ${when} ${band} would be normal.${rare}`
    }
    case 'below': {
      const compared = context.counter ? 'slower than normal' : 'lower than normal'
      return `${seen}, ${compared}; ${when} ${band} would be normal.${rare}`
    }
    case 'jump-up':
    case 'jump-down': {
      if (context.counter) {
        const way = event.channel === 'jump-up' ? 'faster' : 'slower'
        return `${seen}, suddenly much ${way} than just before; ${band} would be normal.${rare}`
      }
      const way = event.channel === 'jump-up' ? 'up' : 'down'
      return `The value jumped ${way} to ${observed} within one step; after the value before it, ${band} would be normal.${rare}`
    }
    case 'long-above':
    case 'long-below': {
      const above = event.channel === 'long-above'
      const about = formatValue(event.expected)
      if (context.counter)
        return `The count has been growing ${above ? 'faster' : 'slower'} than usual for unusually long: now ${observed}, where about ${about} would be normal ${when}.${rare}`
      return `The value has been ${above ? 'higher' : 'lower'} than usual for unusually long: now ${observed}, where about ${about} would be normal ${when}.${rare}`
    }
    case 'restless':
      return `The ${context.counter ? 'growth' : 'value'} moves up and down much more than usual from point to point (now ${observed}).${rare}`
    case 'frozen':
      return context.counter
        ? `The count grows by exactly the same from point to point (now ${observed}), although its growth normally varies.${rare}`
        : `The value stands still at ${observed}, although it normally keeps moving.${rare}`
  }
}

function rhythm(periodMs: number): string {
  const named = { 3_600_000: 'hourly', 86_400_000: 'daily', 604_800_000: 'weekly' }[periodMs]
  return (
    named ??
    formatDuration(periodMs)
      .replace(' ', '-')
      .replace(/(day|week)s$/, '$1')
  )
}

function rarity(decades: number, budgetMs: number): string {
  const everyMs = budgetMs * 10 ** Math.min(decades, 30)
  if (everyMs > LONGEST_MS) return 'By chance this would happen less than once in 1,000 years.'
  return `By chance this would happen about once in ${formatDuration(everyMs)}.`
}
