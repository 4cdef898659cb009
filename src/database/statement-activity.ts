import type pg from 'pg'

/** What a connection is being asked. */
export interface StatementActivity {
  /** Statements asked so far. */
  count: number
  /** Since when, by the monotonic clock in milliseconds, an answer is awaited; `undefined` where none is, also while a COPY or a cursor is read. */
  awaitedSinceMs: number | undefined
}

const activities = new WeakMap<pg.ClientBase, StatementActivity>()

/** Keeps count of what a connection is asked, from now on. */
export function watchActivity(client: pg.ClientBase, now: () => number): void {
  const activity: StatementActivity = { count: 0, awaitedSinceMs: undefined }
  activities.set(client, activity)
  type Ask = (...args: unknown[]) => unknown
  const ask = client.query.bind(client) as Ask
  let awaited = 0
  const answered = (): void => {
    awaited -= 1
    if (awaited === 0) activity.awaitedSinceMs = undefined
  }
  const watched: Ask = (...args) => {
    activity.count += 1
    const answer = ask(...args)
    // A COPY and a cursor take as long as their reader: nothing can be told from how long that is.
    if (!(answer instanceof Promise)) return answer
    awaited += 1
    activity.awaitedSinceMs ??= now()
    answer.then(answered, answered)
    return answer
  }
  client.query = watched as typeof client.query
}

/** What a connection that is watched is being asked. */
export function activityOf(client: pg.ClientBase): StatementActivity {
  return activities.get(client) ?? { count: 0, awaitedSinceMs: undefined }
}

/** Whether nothing is asked of it, not even a COPY or a cursor that is being read. */
export function isSilent(client: pg.ClientBase): boolean {
  // The driver's own note; its types leave it out.
  return (client as unknown as { readyForQuery: boolean }).readyForQuery
}
