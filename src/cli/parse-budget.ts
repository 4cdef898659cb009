import { invalidField } from '../errors.ts'

const SECONDS: Readonly<Record<string, number>> = {
  minute: 60,
  hour: 3600,
  day: 86_400,
  week: 604_800,
  month: 2_592_000,
  year: 31_536_000,
}
const BUDGET =
  /^(\d+(?:\.\d+)?)\s*(?:per|a|an|each|\/)\s*(?:(\d+(?:\.\d+)?)\s*)?(minute|hour|day|week|month|year)s?$/i

/** Reads a false-alarm budget such as `1 per week` or `2 per 3 days`: how many false alarms a series may raise in how many seconds. */
export function parseBudget(text: string): { alarms: number; perSeconds: number } {
  const match = BUDGET.exec(text.trim())
  const alarms = Number(match?.[1])
  const perSeconds = Number(match?.[2] ?? 1) * (SECONDS[match?.[3]?.toLowerCase() ?? ''] ?? Number.NaN)
  if (alarms > 0 && perSeconds > 0) return { alarms, perSeconds }
  throw invalidField(
    'budget',
    `"${text}" is not a budget`,
    'Write it as "1 per week": a number above 0, then per minute, hour, day, week, month or year.',
  )
}
