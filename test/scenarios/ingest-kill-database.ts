import pg from 'pg'
import { Database } from '../../src/database/database.ts'
import type { MetricsEngine } from '../../src/metrics/metrics-engine.ts'
import { PartitionedEngine } from '../../src/metrics/partitioned-engine.ts'
import { TimescaleEngine } from '../../src/metrics/timescale-engine.ts'
import { urlForLogin } from '../../src/operations/connection-urls.ts'
import { migrateInstance } from '../../src/operations/open-instance.ts'
import type { TestServer } from '../support/postgres.ts'
import { startSlowStream } from './slow-stream.ts'

export const KILL_LOGIN = { name: 'nomaly_kill_test', password: 'kill-test' }

/** What metrics are stored by; also the name of the database. */
export type EngineName = MetricsEngine['name']

/** Runs a statement as superuser on the database of the scenario. */
export type Ask = <Row>(statement: string, values?: readonly unknown[]) => Promise<Row[]>

/** A server that can be killed, and comes back by itself. */
export type KillableServer = Pick<TestServer, 'adminUrl' | 'port' | 'pid' | 'kill'>

export interface KillDatabase extends AsyncDisposable {
  readonly server: KillableServer
  /** Two engines on the same database, as two processes have them; what the first one sends arrives slowly. */
  readonly engine: MetricsEngine
  readonly neighbour: MetricsEngine
  readonly ask: Ask
  /** The table of points of the class `forever`. */
  readonly pointsTable: string
}

/** What the engines take for the present: all points are late, and their hours closed. */
export const KILL_NOW_MS = Date.UTC(2026, 6, 1)

export async function prepareKillDatabase(serverUrl: string, name: EngineName): Promise<void> {
  await asking(serverUrl)(`create database ${name}`)
  const options = { adminUrl: databaseUrl(serverUrl, name), applicationLogin: KILL_LOGIN }
  await migrateInstance(options, name, () => {})
}

/** Reads one setting of a server. */
export async function readSetting(serverUrl: string, name: string): Promise<string> {
  const [row] = await asking(serverUrl)<{ setting: string }>('select current_setting($1) as setting', [name])
  return row!.setting
}

export async function openKillDatabase(server: KillableServer, name: EngineName): Promise<KillDatabase> {
  const adminUrl = databaseUrl(server.adminUrl, name)
  const stream = await startSlowStream(server.port)
  const slowUrl = new URL(adminUrl)
  slowUrl.port = String(stream.port)
  const databases = ['engine', 'neighbour'].map(
    (applicationName) =>
      new Database({
        url: urlForLogin(
          applicationName === 'engine' ? slowUrl.href : adminUrl,
          KILL_LOGIN.name,
          KILL_LOGIN.password,
        ),
        applicationName,
        maxConnections: 8,
        acquireTimeoutMs: 20_000,
        statementTimeoutMs: 30_000,
        commitTimeoutMs: 10_000,
        log: () => {},
      }),
  )
  const Engine = name === 'timescale' ? TimescaleEngine : PartitionedEngine
  const [engine, neighbour] = databases.map((database) => new Engine({ database, clock: () => KILL_NOW_MS }))
  return {
    server,
    engine: engine!,
    neighbour: neighbour!,
    ask: asking(adminUrl),
    pointsTable: name === 'timescale' ? 'metrics.timescale_points_forever' : 'metrics.points_forever',
    [Symbol.asyncDispose]: async () => {
      for (const database of databases) await database[Symbol.asyncDispose]()
      await stream[Symbol.asyncDispose]()
    },
  }
}

function asking(url: string): Ask {
  return async <Row>(statement: string, values: readonly unknown[] = []) => {
    const client = new pg.Client({ connectionString: url })
    client.on('error', () => {})
    try {
      await client.connect()
      return (await client.query(statement, [...values])).rows as Row[]
    } finally {
      await client.end().catch(() => {})
    }
  }
}

function databaseUrl(serverUrl: string, name: string): string {
  const url = new URL(serverUrl)
  url.pathname = `/${name}`
  return url.href
}
