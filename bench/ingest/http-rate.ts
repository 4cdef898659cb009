import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { median } from '../checks.ts'
import { HttpClient } from '../http-client.ts'
import type { Instance } from '../instance.ts'
import { RawCopy, type RawLimit } from './raw-copy.ts'
import { keyIndex, makeBatches, type SampleSize, toNdjson } from './sample-points.ts'
import { pointsPerSecond, sendAll } from './throughput.ts'

export interface HttpOptions extends SampleSize {
  readonly instance: Instance
  /** The table of points that are kept forever; that of the partitioned engine when left out. */
  readonly pointsTable?: string
  readonly runs: number
  readonly directory: string
  readonly signal: AbortSignal
  readonly log: (message: string) => void
}

const SIDES = ['raw', 'one', 'two', 'bareRead', 'bareParse', 'bareParseTwo'] as const

/** What is measured: a raw copy; NDJSON to committed with one and with two requests at a time; Fastify alone. */
export type Side = (typeof SIDES)[number]

export interface HttpRates {
  readonly limit: RawLimit
  /** Medians over the runs. */
  readonly pointsPerSecond: Readonly<Record<Side, number>>
  /** The median over the runs of the ratio of two sides within one run. */
  ratio(side: Side, to: Side): number
}

const DATASET = 'ingest'
const PATH = `/v1/datasets/${DATASET}/points`
const TYPE = 'application/x-ndjson'

/** Measures NDJSON over HTTP until it is committed, beside its limits: all sides alternate, and each run compares neighbours. */
export async function measureHttp(options: HttpOptions): Promise<HttpRates> {
  const { instance, points } = options
  using client = new HttpClient(instance.url, instance.adminKey)
  const { id } = await client.json<{ id: string }>('POST', '/v1/datasets', { name: DATASET })
  const batches = makeBatches(options, { kind: 'dataset', id, retention: 'forever' })
  const bodies = batches.map(toNdjson)
  const send = async (body: Buffer): Promise<void> => {
    await client.send('POST', PATH, body, TYPE)
  }
  // Makes series and partitions, which both sides then find.
  await send(bodies[0]!)
  await send(bodies.at(-1)!)
  const ids = await seriesIds(client)
  await using raw = await RawCopy.prepare(
    instance.adminDatabaseUrl,
    join(options.directory, 'http.tsv'),
    batches,
    ids,
    options.pointsTable,
  )
  await using bare = await startBareServer()
  const sides: Record<Side, () => Promise<void>> = {
    raw: () => raw.copy(),
    one: () => sendAll(bodies, 1, send),
    two: () => sendAll(bodies, 2, send),
    bareRead: () => sendAll(bodies, 1, (body) => bare.post('/read', body)),
    bareParse: () => sendAll(bodies, 1, (body) => bare.post('/parse', body)),
    bareParseTwo: () => sendAll(bodies, 2, (body) => bare.post('/parse', body)),
  }
  const rates: Record<Side, number[]> = {
    raw: [],
    one: [],
    two: [],
    bareRead: [],
    bareParse: [],
    bareParseTwo: [],
  }
  for (let run = 1; run <= options.runs; run++) {
    for (const side of SIDES) {
      options.signal.throwIfAborted()
      await raw.reset()
      rates[side].push(await pointsPerSecond(points, sides[side]))
      if (!side.startsWith('bare')) await raw.requireCount(points)
    }
    const last = SIDES.map((side) => `${side} ${Math.round(rates[side].at(-1)! / 1000)}k/s`)
    options.log(`HTTP, run ${run}: ${last.join(', ')}`)
  }
  return {
    limit: raw.limit,
    pointsPerSecond: Object.fromEntries(SIDES.map((side) => [side, median(rates[side])])) as Record<
      Side,
      number
    >,
    ratio: (side, to) => median(rates[side].map((rate, run) => rate / rates[to][run]!)),
  }
}

/** Ids by index of the key in a batch. */
async function seriesIds(client: HttpClient): Promise<number[]> {
  interface Page {
    readonly items: readonly { id: number; metric: string; tags: Record<string, string> }[]
    readonly nextCursor: string | null
  }
  const ids: number[] = []
  let cursor: string | null = ''
  while (cursor !== null) {
    const query = new URLSearchParams({ limit: '500', ...(cursor === '' ? {} : { cursor }) })
    const page: Page = await client.json<Page>('GET', `/v1/datasets/${DATASET}/series?${query}`)
    for (const series of page.items) ids[keyIndex(series)] = series.id
    cursor = page.nextCursor
  }
  return ids
}

interface BareServer extends AsyncDisposable {
  post(path: string, body: Buffer): Promise<void>
}

/** {@link ./bare-server.ts} in a process of its own, as the product is. */
async function startBareServer(): Promise<BareServer> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'bare-server.ts')], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const exited = once(child, 'exit')
  const [text] = (await Promise.race([
    once(child.stdout, 'data'),
    exited.then(() => {
      throw new Error('The bare server did not start.')
    }),
  ])) as [Buffer]
  const client = new HttpClient(`http://127.0.0.1:${text.toString().trim()}`)
  return {
    post: async (path, body) => {
      await client.send('POST', path, body, TYPE)
    },
    [Symbol.asyncDispose]: async () => {
      client[Symbol.dispose]()
      child.stdin.end()
      await exited
    },
  }
}
