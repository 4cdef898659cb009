// One of the processes of `npm run bench -- events` that listen: told what to do by its parent, and ended with it.
import { EventClient, type StreamReport } from './event-client.ts'

/** What the parent asks. `returning` are so many of the first listeners. */
export type ClientOrder =
  | { readonly do: 'connect'; readonly url: string; readonly key: string; readonly count: number }
  | { readonly do: 'leave'; readonly count: number }
  | { readonly do: 'return'; readonly count: number }
  | { readonly do: 'report' }

export interface ClientAnswer {
  readonly streams: readonly StreamReport[]
  /** How many chunks arrived after so many milliseconds; the last one counts all above. */
  readonly latencies: readonly number[]
  readonly cpuSeconds: number
}

const MAX_LATENCY_MS = 20_000
const AT_ONCE = 20

const clients: EventClient[] = []
const latencies = new Uint32Array(MAX_LATENCY_MS + 1)

process.on('message', (order: ClientOrder) => {
  obey(order).then(
    (answer) => process.send!(answer),
    (error: Error) => process.send!({ error: error.message }),
  )
})
process.on('disconnect', () => process.exit(0))

async function obey(order: ClientOrder): Promise<ClientAnswer | object> {
  if (order.do === 'connect') {
    const { url, key, count } = order
    for (let i = 0; i < count; i++) clients.push(new EventClient(url, key, noteLatency))
    for (let i = 0; i < count; i += AT_ONCE)
      await Promise.all(clients.slice(i, i + AT_ONCE).map((client) => client.connect()))
  }
  if (order.do === 'leave') for (const client of clients.slice(0, order.count)) client.leave()
  if (order.do === 'return') await Promise.all(clients.slice(0, order.count).map((client) => client.return()))
  if (order.do !== 'report') return {}
  const { user, system } = process.cpuUsage()
  return {
    streams: clients.map(({ report }) => report),
    latencies: [...latencies],
    cpuSeconds: (user + system) / 1e6,
  } satisfies ClientAnswer
}

function noteLatency(ms: number): void {
  latencies[Math.max(0, Math.min(MAX_LATENCY_MS, Math.round(ms)))]!++
}
