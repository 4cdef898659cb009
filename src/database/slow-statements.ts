import type pg from 'pg'

/** A statement that took longer than asked. */
export interface SlowStatement {
  readonly text: string
  readonly ms: number
}

const MAX_TEXT = 500

/**
 * Times what a connection is asked, and tells what took `thresholdMs()` or longer; 0 turns it off. Values are not told. COPY and cursors,
 * which take as long as their reader, are left out.
 */
export function watchStatements(
  client: pg.PoolClient,
  thresholdMs: () => number,
  tell: (slow: SlowStatement) => void,
): void {
  type Ask = (...args: unknown[]) => unknown
  const ask = client.query.bind(client) as Ask
  const watched: Ask = (...args) => {
    const limitMs = thresholdMs()
    if (limitMs === 0) return ask(...args)
    const startedAt = performance.now()
    const answer = ask(...args)
    if (!(answer instanceof Promise)) return answer
    const [query] = args as [string | { readonly text: string }]
    const end = (): void => {
      const ms = performance.now() - startedAt
      if (ms < limitMs) return
      const text = (typeof query === 'string' ? query : query.text).replaceAll(/\s+/g, ' ').trim()
      tell({ text: text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text, ms: Math.round(ms) })
    }
    answer.then(end, end)
    return answer
  }
  client.query = watched as typeof client.query
}
