import { join } from 'node:path'
import { readFolderOwner } from '../../src/database/data-folder.ts'
import { MIGRATION_SETS } from '../../src/operations/open-instance.ts'
import { type HttpRates, measureHttp } from '../ingest/http-rate.ts'
import { startInstance } from '../instance.ts'
import type { BenchServer } from './bench-server.ts'
import type { EngineKind } from './engine-side.ts'
import { type IngestMemory, measureIngestMemory } from './ingest-memory.ts'

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
  readonly rates: HttpRates
  /** Linux only. */
  readonly memory: IngestMemory | undefined
}

/** Runs the product on a database of the server, as a user would, and sends points to it. */
export async function measureOverHttp(kind: EngineKind, options: OverHttpOptions): Promise<OverHttp> {
  const { server, signal } = options
  const database = await server.createDatabase(`http_${kind.name}`, { sets: MIGRATION_SETS })
  const dataDirectory = join(options.directory, `instance-${kind.name}`)
  const environment = {
    DATABASE_URL: database.applicationUrl,
    ADMIN_DATABASE_URL: database.adminUrl,
    NOMALY_METRICS_ENGINE: kind.name,
    // What it records of itself would go into the tables that are emptied between runs.
    NOMALY_SELF_WATCH_SECONDS: '0',
  }
  await using instance = await startInstance({ dataDirectory, environment, signal })
  const rates = await measureHttp({
    ...options,
    pointsPerBatch: 10_000,
    series: 1_000,
    instance,
    pointsTable: kind.pointsTable,
    log: (message) => options.log(`${kind.name}: ${message}`),
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
  return { rates, memory }
}
