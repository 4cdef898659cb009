import pg from 'pg'

/** Tells the server to stop what it does for a client; through a connection of its own, as a pool may be the very thing that is exhausted. */
export async function cancelQuery(url: string, client: pg.ClientBase): Promise<void> {
  const { processID } = client as unknown as { processID: number }
  const canceller = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5_000 })
  canceller.on('error', () => {})
  try {
    await canceller.connect()
    await canceller.query('select pg_cancel_backend($1)', [processID])
  } catch {
    // The statement timeout ends the query in any case.
  } finally {
    await canceller.end().catch(() => {})
  }
}
