import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { HttpClient } from '../http-client.ts'

export interface MemoryOptions {
  readonly url: string
  readonly apiKey: string
  /** Of the server. */
  readonly pid: number
  readonly seconds: number
  readonly signal: AbortSignal
}

/** Resident memory of the server's process, in MiB. */
export interface IngestMemory {
  readonly peakMib: number
  /** The most in the second half of the time over the most in the first. */
  readonly growth: number
  readonly pointsPerSecond: number
}

const DATASET = 'memory'
const SERIES = 1_000
const INSTANTS_PER_BODY = 10
const STEP_MS = 1_000
const TIME_LENGTH = new Date(0).toISOString().length
const SAMPLE_MS = 100
const CONCURRENCY = 2

/** Sends fresh points over HTTP for a while, as fast as they are taken, and watches the server's memory. Linux: read from /proc. */
export async function measureIngestMemory(options: MemoryOptions): Promise<IngestMemory> {
  using client = new HttpClient(options.url, options.apiKey)
  await client.json('POST', '/v1/datasets', { name: DATASET })
  const samples: number[] = []
  const ended = new AbortController()
  const sampling = watch(options.pid, samples, ended.signal)
  const start = performance.now()
  const isOver = (): boolean => options.signal.aborted || performance.now() - start > options.seconds * 1000
  const bodies = Array.from({ length: CONCURRENCY }, () => new StreamBody())
  let next = Date.now()
  let points = 0
  // Each sender has a body of its own, and only writes other times into it: making new ones would be what is measured.
  await Promise.all(
    bodies.map(async (body) => {
      while (!isOver()) {
        body.setTimes(next)
        next += INSTANTS_PER_BODY * STEP_MS
        await client.send('POST', `/v1/datasets/${DATASET}/points`, body.bytes, 'application/x-ndjson')
        points += SERIES * INSTANTS_PER_BODY
      }
    }),
  )
  const elapsedMs = performance.now() - start
  ended.abort()
  await sampling
  options.signal.throwIfAborted()
  const half = Math.floor(samples.length / 2)
  return {
    peakMib: Math.max(...samples),
    growth: Math.max(...samples.slice(half)) / Math.max(...samples.slice(0, half)),
    pointsPerSecond: (points * 1000) / elapsedMs,
  }
}

async function watch(pid: number, samples: number[], ended: AbortSignal): Promise<void> {
  while (!ended.aborted) {
    samples.push(await residentMib(pid))
    await sleep(SAMPLE_MS)
  }
}

async function residentMib(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)![1]) / 1024
}

/** Lines of NDJSON in which only the times change. */
class StreamBody {
  readonly bytes: Buffer
  /** Where the time of each line stands. */
  readonly #places: readonly number[]

  constructor() {
    const places: number[] = []
    let text = ''
    for (let instant = 0; instant < INSTANTS_PER_BODY; instant++)
      for (let series = 0; series < SERIES; series++) {
        text += '{"time":"'
        places.push(text.length)
        const tags = { host: `host-${Math.floor(series / 10)}`, region: 'north' }
        const rest = JSON.stringify({ metric: `metric_${series % 10}`, tags, value: 100 + series / 997 })
        text += `${' '.repeat(TIME_LENGTH)}",${rest.slice(1)}\n`
      }
    this.bytes = Buffer.from(text)
    this.#places = places
  }

  setTimes(firstMs: number): void {
    for (let instant = 0; instant < INSTANTS_PER_BODY; instant++) {
      const first = this.#places[instant * SERIES]!
      this.bytes.write(new Date(firstMs + instant * STEP_MS).toISOString(), first, 'latin1')
      for (let series = 1; series < SERIES; series++)
        this.bytes.copy(this.bytes, this.#places[instant * SERIES + series], first, first + TIME_LENGTH)
    }
  }
}
