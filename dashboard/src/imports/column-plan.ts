/** A column of a CSV as the server understood it. */
export interface RecognisedColumn {
  readonly name: string
  readonly role: string
  /** The server's sentence on why. */
  readonly reason: string
}

const roles: readonly [key: string, role: string][] = [
  ['time', 'time'],
  ['metric', 'names the metric'],
  ['values', 'value'],
  ['tags', 'tag'],
  ['ignored', 'left out'],
]

/** Lists the columns of the plan that comes with an answer to a CSV, in the order of what they are for. */
export function readColumnPlan(plan: unknown): RecognisedColumn[] {
  if (plan === null || typeof plan !== 'object') return []
  return roles.flatMap(([key, role]) => {
    const part = (plan as Record<string, unknown>)[key]
    const choices = (Array.isArray(part) ? part : [part]) as unknown[]
    return choices
      .filter(
        (choice): choice is { name: string; reason: string } => choice !== null && typeof choice === 'object',
      )
      .map(({ name, reason }) => ({ name, role, reason }))
  })
}
