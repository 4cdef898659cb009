import { join } from 'node:path'
import { readFolderOwner } from '../../src/database/data-folder.ts'
import { MIGRATION_SETS } from '../../src/operations/open-instance.ts'
import { type HttpRates, measureHttp } from '../ingest/http-rate.ts'
import { startInstance } from '../instance.ts'
import { ask, type BenchServer } from './bench-server.ts'
import { type IngestMemory, measureIngestMemory } from './ingest-memory.ts'
import { ENGINES } from './engine-kinds.ts'

export interface OverHttpOptions {
  readonly server: BenchServer
  readonly points: number
  readonly runs: number
  readonly memorySeconds: number
  readonly directory: string
  readonly signal: AbortSignal
  readonly log: (message: string) => void
}

export interface OverHttp {
  /** The engine that the product chose on this server. */
  readonly engine: string
  readonly rates: HttpRates
  /** Linux only. */
  readonly memory: IngestMemory | undefined
}

/** Runs the product on a database of the server, as a user would, and sends points to it. */
export async function measureOverHttp(options: OverHttpOptions): Promise<OverHttp> {
  const { server, signal } = options
  const database = await server.createDatabase('http', {
    ...(server.hasTimescale ? { extension: 'timescaledb' as const } : {}),
    sets: MIGRATION_SETS,
  })
  const dataDirectory = join(options.directory, 'instance')
  const environment = {
    DATABASE_URL: database.applicationUrl,
    ADMIN_DATABASE_URL: database.adminUrl,
    // What it records of itself would go into the tables that are emptied between runs.
    NOMALY_SELF_WATCH_SECONDS: '0',
  }
  await using instance = await startInstance({ dataDirectory, environment, signal })
  const name = await chosenEngine(database.adminUrl)
  const { pointsTable } = ENGINES.find((kind) => kind.name === name)!
  const rates = await measureHttp({
    ...options,
    pointsPerBatch: 10_000,
    series: 1_000,
    instance,
    pointsTable,
  })
  const owner = await readFolderOwner(dataDirectory)
  const memory =
    process.platform === 'linux' && owner !== undefined
      ? await measureIngestMemory({
          url: instance.url,
          apiKey: instance.adminKey,
          pid: owner.pid,
          seconds: options.memorySeconds,
          signal,
        })
      : undefined
  return { engine: name, rates, memory }
}

async function chosenEngine(adminUrl: string): Promise<string> {
  const [table] = await ask<{ exists: boolean }>(
    adminUrl,
    `select to_regclass('metrics.engine') is not null as exists`,
  )
  if (!table!.exists) return 'partitioned'
  const [row] = await ask<{ name: string }>(adminUrl, 'select name from metrics.engine')
  return row?.name ?? 'partitioned'
}
