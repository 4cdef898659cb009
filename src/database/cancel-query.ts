import pg from 'pg'

/** What the driver's connection can do before it has logged in; its types leave it out. */
interface Wire {
  readonly stream: { destroy(): void; setTimeout(ms: number, onTimeout: () => void): void }
  connect(port: number, host: string): void
  connect(path: string): void
  requestSsl(): void
  cancel(processId: number, secretKey: number): void
  on(event: 'connect' | 'sslconnect' | 'end' | 'error', listener: () => void): void
}

interface ClientInside {
  readonly processID: number
  readonly secretKey: number
  readonly ssl: unknown
  readonly host: string
  readonly port: number
  readonly connection: Wire
}

const TIMEOUT_MS = 5_000

/**
 * Tells the server to stop what it does for a client; through a connection of its own, as a pool may be the very thing that is exhausted, and by
 * the key of that client, which poolers and balancers in between pass on (PostgreSQL manual, 54.2.8 Canceling Requests in Progress).
 */
export async function cancelQuery(client: pg.Client | pg.PoolClient): Promise<void> {
  const { processID, secretKey, host, port, ssl } = client as unknown as ClientInside
  // The same address and the same TLS; it logs in nowhere, so it needs no login.
  const { connection } = new pg.Client({
    host,
    port,
    ssl: (ssl === false ? false : ssl) as pg.ClientConfig['ssl'],
  }) as unknown as ClientInside
  const ended = Promise.withResolvers<void>()
  const cancel = (): void => connection.cancel(processID, secretKey)
  connection.on('connect', () => (ssl === false ? cancel() : connection.requestSsl()))
  connection.on('sslconnect', cancel)
  // The server hangs up when it has heard. Where it does not, the statement timeout ends the query in any case.
  connection.on('end', ended.resolve)
  connection.on('error', ended.resolve)
  const timer = setTimeout(ended.resolve, TIMEOUT_MS)
  if (host.startsWith('/')) connection.connect(`${host}/.s.PGSQL.${port}`)
  else connection.connect(port, host)
  await ended.promise
  clearTimeout(timer)
  connection.stream.destroy()
}
