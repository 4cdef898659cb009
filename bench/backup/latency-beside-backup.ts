import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { BenchContext } from '../benchmark.ts'
import { HttpClient } from '../http-client.ts'
import { startInstance, usersEnvironment } from '../instance.ts'
import { askOne } from './debian-server.ts'

export interface Latencies {
  readonly p50Ms: number
  readonly p99Ms: number
  readonly requests: number
}

export interface LatencyComparison {
  readonly without: Latencies
  readonly during: Latencies
  /** Of the database, by the backups that were measured. */
  readonly bytesPerSecond: number
  readonly postgresVersion: string
}

const MAIN = join(import.meta.dirname, '..', '..', 'src', 'cli', 'main.ts')
const DATASET = 'backup-bench'
/** Requests a second, half of them writes. */
const RATE = 60
const ROWS = 600_000
const QUICK_ROWS = 200_000
const ROUNDS = 6
const QUICK_ROUNDS = 3

/** Asks an installation at a steady rate, with a backup in a process of its own and without, in turns. */
export async function latencyBesideBackup(context: BenchContext): Promise<LatencyComparison> {
  const { directory, signal, log } = context
  const dataDirectory = join(directory, 'instance')
  const environment = {
    NOMALY_BACKUP_TARGET: join(directory, 'instance-backups'),
    NOMALY_SELF_WATCH_SECONDS: '0',
  }
  await using instance = await startInstance({ dataDirectory, environment, signal })
  // Random, so that neither the disk nor the compression has it easy.
  const rows = context.quick ? QUICK_ROWS : ROWS
  await askOne(
    instance.adminDatabaseUrl,
    `create table bench_filler as select i, (select string_agg(md5(random()::text || i), '') from generate_series(1, 30)) as body from generate_series(1, ${rows}) i`,
  )
  await askOne(instance.adminDatabaseUrl, 'checkpoint')
  using client = new HttpClient(instance.url, instance.adminKey)
  await client.json('POST', '/v1/datasets', { name: DATASET })
  const makeBackup = async (): Promise<number> => {
    const child = spawn(process.execPath, [MAIN, 'backup', 'create', '--output', 'json'], {
      env: { ...usersEnvironment(), ...environment, NOMALY_DATA_DIR: dataDirectory },
      stdio: ['ignore', 'pipe', 'pipe'],
      signal,
    })
    let out = ''
    let err = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text))
    child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text))
    const [code] = (await once(child, 'close')) as [number]
    if (code !== 0) throw new Error(`The backup failed: ${err}`)
    return (JSON.parse(out) as { databaseBytes: number }).databaseBytes
  }
  // The first one has everything to set up, and what is measured afterwards is warm.
  await Promise.all([makeBackup(), ask(client, sleep(5_000))])
  const without: number[] = []
  const during: number[] = []
  let bytes = 0
  let tookMs = 0
  for (let round = 1; round <= (context.quick ? QUICK_ROUNDS : ROUNDS); round++) {
    const startedAt = performance.now()
    const backup = makeBackup()
    during.push(...(await ask(client, backup)))
    bytes += await backup
    const ms = performance.now() - startedAt
    tookMs += ms
    without.push(...(await ask(client, sleep(ms, undefined, { signal }))))
    log(
      `round ${round}: p99 ${percentile(without, 99).toFixed(1)} ms without, ${percentile(during, 99).toFixed(1)} ms during a backup of ${Math.round(ms)} ms`,
    )
  }
  return {
    without: summary(without),
    during: summary(during),
    bytesPerSecond: bytes / (tookMs / 1000),
    postgresVersion: instance.postgresVersion,
  }
}

/** Sends requests when their time comes, whatever becomes of those before, until something is done; answers how long each took from that time on. */
async function ask(client: HttpClient, until: Promise<unknown>): Promise<number[]> {
  const latencies: number[] = []
  const asked: Promise<void>[] = []
  let isDone = false
  const end = until.finally(() => (isDone = true))
  // Told where it is awaited.
  end.catch(() => {})
  const startedAt = performance.now()
  for (let number = 0; !isDone; number++) {
    const dueAt = startedAt + (number * 1000) / RATE
    await sleep(Math.max(0, dueAt - performance.now()))
    asked.push(
      (number % 2 === 0 ? write(client, number) : read(client)).then(() => {
        latencies.push(performance.now() - dueAt)
      }),
    )
  }
  await Promise.all(asked)
  await end
  return latencies
}

async function write(client: HttpClient, number: number): Promise<void> {
  const time = new Date(Date.now() + number).toISOString()
  const lines = Array.from({ length: 20 }, (_, at) =>
    JSON.stringify({ time, metric: 'load', tags: { host: `h${at}` }, value: Math.random() }),
  )
  const body = Buffer.from(`${lines.join('\n')}\n`)
  await client.send('POST', `/v1/datasets/${DATASET}/points`, body, 'application/x-ndjson')
}

async function read(client: HttpClient): Promise<void> {
  await client.json('GET', `/v1/datasets/${DATASET}/series?limit=20`)
}

function summary(latencies: readonly number[]): Latencies {
  return { p50Ms: percentile(latencies, 50), p99Ms: percentile(latencies, 99), requests: latencies.length }
}

function percentile(values: readonly number[], percent: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor((sorted.length * percent) / 100))] ?? Number.NaN
}
