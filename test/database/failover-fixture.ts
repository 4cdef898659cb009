import { onTestFinished } from 'vitest'
import { urlForLogin } from '../../src/config/database-url.ts'
import { findServerProcesses } from '../../src/database/server-processes.ts'
import { migrateInstance } from '../../src/operations/open-instance.ts'
import { startTestServer, type TestServer } from '../support/postgres.ts'
import { Replica } from '../support/replica.ts'

export const LOGIN = { name: 'nomaly_test', password: 'test' }

/** A primary and its standby, migrated, until the test ends. */
export interface Pair {
  readonly primary: TestServer
  readonly standby: Replica
  /** Of the application's login, with both servers; the standby first, so that taking the first would not do. */
  readonly url: string
  /** The same as superuser. */
  readonly adminUrl: string
  /** Of the application's login, with one server. */
  readonly primaryUrl: string
  readonly standbyUrl: string
}

/** Starts a server and a standby that follows it. */
export async function startPair(settings: Readonly<Record<string, string>> = {}): Promise<Pair> {
  const primary = await startTestServer({ settings })
  onTestFinished(() => primary.stop())
  await migrateInstance({ adminUrl: primary.adminUrl, applicationLogin: LOGIN }, 'partitioned', () => {})
  const standby = await Replica.follow(primary)
  onTestFinished(() => standby[Symbol.asyncDispose]())
  const asApplication = (url: string): string => urlForLogin(url, LOGIN.name, LOGIN.password)
  const withBoth = (url: string): string =>
    url.replace(`127.0.0.1:${primary.port}`, `127.0.0.1:${standby.port},127.0.0.1:${primary.port}`)
  return {
    primary,
    standby,
    url: withBoth(asApplication(primary.adminUrl)),
    adminUrl: withBoth(primary.adminUrl),
    primaryUrl: asApplication(primary.adminUrl),
    standbyUrl: asApplication(standby.adminUrl),
  }
}

/** Stops all processes of a server in place, or lets them go on: connections stay open meanwhile, and nothing is answered. */
export async function signalAll(server: TestServer, signal: 'SIGSTOP' | 'SIGCONT'): Promise<void> {
  for (const pid of await findServerProcesses(server.directory)) process.kill(pid, signal)
}
