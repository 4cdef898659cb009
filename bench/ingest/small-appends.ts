import { HttpClient } from '../http-client.ts'

export interface SmallAppendOptions {
  readonly url: string
  readonly apiKey: string
  /** Must exist; each call wants instants of its own. */
  readonly dataset: string
  readonly firstMs: number
  /** Senders at the same time, each on a connection of its own. */
  readonly connections: number
  readonly pointsPerRequest: number
  readonly seconds: number
  readonly signal: AbortSignal
}

/** What many small writers get together. */
export interface SmallAppends {
  readonly pointsPerSecond: number
  readonly medianMs: number
  readonly slowestPercentMs: number
  /** Requests that were answered 503, and sent again. */
  readonly refused: number
}

const REFUSED_PAUSE_MS = 20
const STEP_MS = 1_000

/** Many agents, each sending the newest points of a few series of its own, and the next ones as soon as those are committed. */
export async function measureSmallAppends(options: SmallAppendOptions): Promise<SmallAppends> {
  using client = new HttpClient(options.url, options.apiKey)
  const path = `/v1/datasets/${options.dataset}/points`
  const start = performance.now()
  const until = start + options.seconds * 1000
  const timesMs: number[] = []
  let refused = 0
  const send = async (sender: number): Promise<void> => {
    for (let instant = 0; performance.now() < until && !options.signal.aborted; instant++) {
      const body = Buffer.from(bodyOf(options, sender, instant))
      const sentAt = performance.now()
      for (;;) {
        const { status, text } = await client.exchange('POST', path, body, 'application/x-ndjson')
        if (status === 200) {
          const { inserted } = JSON.parse(text) as { inserted: number }
          if (inserted !== options.pointsPerRequest)
            throw new Error(`${inserted} points were stored instead of ${options.pointsPerRequest}.`)
          break
        }
        if (status !== 503) throw new Error(`A small append was answered with ${status}: ${text}`)
        refused += 1
        await new Promise((resolve) => setTimeout(resolve, REFUSED_PAUSE_MS))
      }
      timesMs.push(performance.now() - sentAt)
    }
  }
  await Promise.all(Array.from({ length: options.connections }, (_, sender) => send(sender)))
  options.signal.throwIfAborted()
  const elapsedMs = performance.now() - start
  timesMs.sort((a, b) => a - b)
  return {
    pointsPerSecond: (timesMs.length * options.pointsPerRequest * 1000) / elapsedMs,
    medianMs: timesMs[Math.floor(timesMs.length / 2)]!,
    slowestPercentMs: timesMs[Math.floor(timesMs.length * 0.99)]!,
    refused,
  }
}

function bodyOf({ firstMs, pointsPerRequest }: SmallAppendOptions, sender: number, instant: number): string {
  const time = new Date(firstMs + instant * STEP_MS).toISOString()
  let text = ''
  for (let metric = 0; metric < pointsPerRequest; metric++)
    text += `{"time":"${time}","metric":"metric_${metric}","tags":{"host":"host-${sender}"},"value":${instant + metric / 7}}\n`
  return text
}
