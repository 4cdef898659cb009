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
  const band = `${formatValue(event.lower)} to ${formatValue(event.upper)}`
  const when =
    context.periodMs === undefined ? 'lately' : `at this point of its ${rhythm(context.periodMs)} rhythm`
  const seen = context.counter
    ? `grew to ${formatValue(event.observed)}`
    : `was ${formatValue(event.observed)}`
  const rare = ` ${rarity(event.decades, context.budgetMs)}`
  switch (event.channel) {
    case 'above':
      return `The value ${seen}, higher than normal; ${when} ${band} would be normal.${rare}`
    case 'below':
      return `The value ${seen}, lower than normal; ${when} ${band} would be normal.${rare}`
    case 'jump-up':
    case 'jump-down': {
      const way = event.channel === 'jump-up' ? 'up' : 'down'
      return `The value jumped ${way} to ${formatValue(event.observed)} within one step, much further than it usually moves.${rare}`
    }
    case 'long-above':
    case 'long-below': {
      const side = event.channel === 'long-above' ? 'higher' : 'lower'
      return `The value has stayed ${side} than usual for longer than it normally does: now ${formatValue(event.observed)}, where about ${formatValue(event.expected)} would be normal ${when}.${rare}`
    }
    case 'restless':
      return `The value moves up and down much more than usual from point to point (now ${formatValue(event.observed)}).${rare}`
    case 'frozen':
      return `The value stands still at ${formatValue(event.observed)}, although it normally keeps moving.${rare}`
  }
}

function rhythm(periodMs: number): string {
  const named = { 3_600_000: 'hourly', 86_400_000: 'daily', 604_800_000: 'weekly' }[periodMs]
  return named ?? formatDuration(periodMs).replace(' ', '-').replace(/s$/, '')
}

function rarity(decades: number, budgetMs: number): string {
  const everyMs = budgetMs * 10 ** Math.min(decades, 30)
  if (everyMs > LONGEST_MS) return 'By chance this would happen less than once in 1,000 years.'
  return `By chance this would happen about once in ${formatDuration(everyMs)}.`
}
