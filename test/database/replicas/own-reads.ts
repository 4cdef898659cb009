import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import type { Database } from '../../../src/database/database.ts'
import type { Position } from '../../../src/database/position.ts'
import type { Replica } from '../../support/replica.ts'
import { increment, look, type ReplicaFixture, SYSTEM } from './replica-fixture.ts'

/** What somebody has written, and knows of where it stands. */
export interface OwnWrite {
  readonly id: number
  readonly value: number
  readonly position: Position
  /** Taken inside the transaction, before its commit. */
  readonly positionBefore: Position
  readonly atMs: number
}

export interface OwnRead {
  readonly value: number
  readonly onStandby: boolean
}

/** Reads back what was written, in some way. */
export type OwnReader = (write: OwnWrite) => Promise<OwnRead>

export interface OwnReads {
  readonly reads: number
  readonly onStandbys: number
  readonly stale: number
}

export interface OwnReadsOptions {
  readonly fixture: ReplicaFixture
  readonly database: Database
  readonly readBack: OwnReader
  /** Ends when so many were read back. */
  readonly reads: number
  /** Ends earlier, as soon as one was stale. */
  readonly untilStale?: boolean
}

const CLIENTS = 24
const OTHER_WRITERS = 4
const ROWS = 1_000

/** Clients that write and read back at once, while others write as well and standbys stand still now and then. */
export async function readOwnWrites(options: OwnReadsOptions): Promise<OwnReads> {
  const { fixture, database, readBack, reads, untilStale = false } = options
  const total = { reads: 0, onStandbys: 0, stale: 0 }
  const over = new AbortController()
  const isOver = (): boolean => total.reads >= reads || (untilStale && total.stale > 0)
  const clients = Array.from({ length: CLIENTS }, async (_, index) => {
    while (!isOver()) {
      const write = await writeOwn(database, index + 1)
      // Not only what was written a moment ago.
      const again = index % 3 === 0 ? 3 : 1
      for (let times = 0; times < again && !isOver(); times++) {
        const seen = await readBack(write)
        total.reads++
        if (seen.onStandby) total.onStandbys++
        if (seen.value < write.value) total.stale++
      }
    }
  })
  const others = Array.from({ length: OTHER_WRITERS }, async (_, index) => {
    for (let round = 0; !over.signal.aborted; round++)
      await increment(database, 100 + ((round * OTHER_WRITERS + index) % (ROWS - 100)))
  })
  const stumbling = fixture.replicas.map((replica, index) => stumble(replica, 150 + index * 170, over.signal))
  try {
    await Promise.all(clients)
  } finally {
    over.abort()
    await Promise.all([...others, ...stumbling])
  }
  return total
}

/** Stops replaying for a while, again and again. */
async function stumble(replica: Replica, everyMs: number, over: AbortSignal): Promise<void> {
  for (;;) {
    await sleep(everyMs, undefined, { signal: over }).catch(() => {})
    if (over.aborted) return
    await replica.pause()
    await sleep(60, undefined, { signal: over }).catch(() => {})
    await replica.resume()
  }
}

async function writeOwn(database: Database, id: number): Promise<OwnWrite> {
  const { value, position } = await database.transaction(SYSTEM, async (connection) => {
    const [row] = await connection.query<{ value: number; lsn: string }>(
      `update nomaly.counters set value = value + 1 where id = $1
       returning value, pg_current_wal_insert_lsn()::text as lsn`,
      [id],
    )
    return row!
  })
  return {
    id,
    value: value.value,
    position,
    positionBefore: { ...position, lsn: value.lsn },
    atMs: performance.now(),
  }
}

/** As the product does. */
export function readRouted(database: Database): OwnReader {
  return ({ id, position }) => look(database, id, { after: position })
}

/** Routed by a position that was taken inside the transaction. */
export function readAfterPositionBefore(database: Database): OwnReader {
  return ({ id, positionBefore }) => look(database, id, { after: positionBefore })
}

/** Of the primary for a while after a write, and of any standby from then on. */
export function readByTimer(database: Database, standby: pg.Pool, stickMs: number): OwnReader {
  return async ({ id, atMs }) => {
    const leftMs = stickMs - (performance.now() - atMs)
    if (leftMs > 0 && Math.random() < 0.5) return look(database, id, 'latest')
    if (leftMs > 0) await sleep(leftMs)
    const { rows } = await standby.query<{ value: number }>(
      'select value from nomaly.counters where id = $1',
      [id],
    )
    return { value: rows[0]!.value, onStandby: true }
  }
}

/** Of a standby that says in the very statement which reads that it has replayed enough; of the primary where it never says so. */
export function readInOneStatement(database: Database, standby: pg.Pool): OwnReader {
  return async ({ id, position }) => {
    for (let tries = 0; tries < 50; tries++) {
      const { rows } = await standby.query<{ value: number; suffices: boolean }>(
        'select value, pg_last_wal_replay_lsn() >= $2::pg_lsn as suffices from nomaly.counters where id = $1',
        [id, position.lsn],
      )
      if (rows[0]!.suffices) return { value: rows[0]!.value, onStandby: true }
    }
    return look(database, id, 'latest')
  }
}
