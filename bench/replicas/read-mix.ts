import type { Database } from '../../src/database/database.ts'

/** How many reads were made in how long, and how long they took. */
export interface MixResult {
  readonly readsPerSecond: number
  readonly medianMs: number
}

const CLIENTS = 16
const WRITES_SHARE = 0.1
const MAX_LAG_MS = 2_000
const SYSTEM = { role: 'nomaly_system' } as const

/** Clients that mostly read what may be some seconds old, and now and then write something and read it back. */
export async function runMix(database: Database, forMs: number, signal: AbortSignal): Promise<MixResult> {
  const times: number[] = []
  const until = performance.now() + forMs
  const client = async (id: number): Promise<void> => {
    while (performance.now() < until && !signal.aborted) {
      let freshness: Parameters<Database['read']>[0]['freshness'] = { maxLagMs: MAX_LAG_MS }
      let least = 0
      if (Math.random() < WRITES_SHARE) {
        const { value, position } = await database.transaction(SYSTEM, async (connection) => {
          const [row] = await connection.query<{ value: number }>(
            'update nomaly.counters set value = value + 1 where id = $1 returning value',
            [id],
          )
          return row!.value
        })
        freshness = { after: position }
        least = value
      }
      const startedAt = performance.now()
      const [row] = await database.read({ ...SYSTEM, freshness }, (connection) =>
        connection.query<{ own: number }>(
          `select max(value) filter (where id = $1) as own, sum(value)::text as total from nomaly.counters`,
          [id],
        ),
      )
      times.push(performance.now() - startedAt)
      if (row!.own < least) throw new Error('A read did not see what its client had written.')
    }
  }
  const startedAt = performance.now()
  await Promise.all(Array.from({ length: CLIENTS }, (_, index) => client(index + 1)))
  signal.throwIfAborted()
  const seconds = (performance.now() - startedAt) / 1_000
  times.sort((a, b) => a - b)
  return { readsPerSecond: times.length / seconds, medianMs: times[Math.floor(times.length / 2)]! }
}
