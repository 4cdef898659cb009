import type pg from 'pg'
import { PrimaryFinder } from './primary-finder.ts'

const CONNECT_TIMEOUT_MS = 10_000

/**
 * Opens a connection of its own to the server of a database URL, of several to the one that takes writes. Who asks ends it.
 * @throws NomalyError `unavailable` where none takes writes within ten seconds; what the driver throws where there is one server.
 */
export function connectClient(url: string, config: pg.ClientConfig = {}): Promise<pg.Client> {
  return new PrimaryFinder(url).connect(
    { connectionTimeoutMillis: CONNECT_TIMEOUT_MS, ...config },
    AbortSignal.timeout(CONNECT_TIMEOUT_MS),
  )
}
