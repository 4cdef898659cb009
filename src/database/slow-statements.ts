import type pg from 'pg'

const MAX_TEXT = 500

export interface SlowStatementOptions {
  /** Asked anew at each statement; 0, or none, turns it off. */
  readonly slowStatementMs?: number
  readonly log: (message: string) => void
}

/**
 * Times what a connection is asked, and logs what took as long as the options say, or longer, without its values. COPY and cursors, which
 * take as long as their reader, are left out.
 */
export function logSlowStatements(client: pg.PoolClient, options: SlowStatementOptions): void {
  type Ask = (...args: unknown[]) => unknown
  const ask = client.query.bind(client) as Ask
  const watched: Ask = (...args) => {
    const limitMs = options.slowStatementMs ?? 0
    if (limitMs === 0) return ask(...args)
    const startedAt = performance.now()
    const answer = ask(...args)
    if (!(answer instanceof Promise)) return answer
    const [query] = args as [string | { readonly text: string }]
    const end = (): void => {
      const ms = performance.now() - startedAt
      if (ms < limitMs) return
      const text = withoutTexts(typeof query === 'string' ? query : query.text)
      const shown = text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text
      options.log(`A statement took ${Math.round(ms)} ms: ${shown}`)
    }
    answer.then(end, end)
    return answer
  }
  client.query = watched as typeof client.query
}

/** A statement on one line, with `'?'` for each text that stands in it: some carry names and tags of a tenant as literals. */
export function withoutTexts(statement: string): string {
  return statement
    .replaceAll(/'(?:[^']|'')*'/g, "'?'")
    .replaceAll(/\s+/g, ' ')
    .trim()
}
