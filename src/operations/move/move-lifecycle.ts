import { setTimeout as sleep } from 'node:timers/promises'
import { whileAlone } from '../../database/advisory-lock.ts'
import type { Database } from '../../database/database.ts'
import { NomalyError } from '../../errors.ts'
import { readEngineState } from '../../metrics/engine-state.ts'
import type { MetricsEngine } from '../../metrics/metrics-engine.ts'
import type { MoveSide } from '../../metrics/move-side.ts'

type EngineName = MetricsEngine['name']

const MOVER_LOCK = `hashtextextended('nomaly metrics mover', 0)`
const CLEAR_ATTEMPTS = 20

/** Empties the target and notes that a move is under way. @throws NomalyError `conflict` where somebody uses what another move left. */
export async function beginMove(
  database: Database,
  target: MoveSide,
  from: EngineName,
  to: EngineName,
): Promise<void> {
  await forgetMove(database)
  // Of a move that was given up.
  for (let attempt = 1; !(await target.clear('open')); attempt++) {
    if (attempt === CLEAR_ATTEMPTS)
      throw new NomalyError('conflict', `The tables of ${to} are in use by somebody.`, {
        hint: 'Look for long queries in pg_stat_activity, and try again.',
      })
    await sleep(500)
  }
  await database.transaction({ role: 'nomaly_system' }, (connection) =>
    connection.query(
      `insert into metrics.engine (name, moving_to) values ($1, $2)
       on conflict (only_row) do update set moving_to = excluded.moving_to`,
      [from, to],
    ),
  )
}

/** Drops what the former engine has, and closes it; false where readers that began before the switch still hold some of it. */
export async function clearFormer(
  database: Database,
  former: MoveSide,
  signal: AbortSignal,
): Promise<boolean> {
  const read = { role: 'nomaly_system', freshness: 'latest', signal } as const
  if (!(await database.read(read, (connection) => former.exists(connection)))) return true
  for (let attempt = 1; attempt <= CLEAR_ATTEMPTS; attempt++) {
    if (await former.clear('closed')) {
      await forgetMove(database)
      return true
    }
    await sleep(500, undefined, { signal })
  }
  return false
}

/** Forgets what a move had noted. */
export async function forgetMove(database: Database): Promise<void> {
  await database.transaction({ role: 'nomaly_system' }, (connection) =>
    connection.query('truncate metrics.move_journal, metrics.move_windows'),
  )
}

/** The points of all windows. */
export async function totalPoints(database: Database): Promise<number> {
  return database.read({ role: 'nomaly_system', freshness: 'latest' }, async (connection) => {
    const [row] = await connection.query<{ points: number }>(
      'select coalesce(sum(points), 0)::float8 as points from metrics.move_windows',
    )
    return row!.points
  })
}

/** Which engine keeps the points now. */
export function readState(database: Database): ReturnType<typeof readEngineState> {
  return database.read({ role: 'nomaly_system', freshness: 'latest' }, readEngineState)
}

/** Runs work while no other process moves metrics of this database. */
export async function asMover<T>(database: Database, work: () => Promise<T>): Promise<T> {
  const done = await whileAlone(database, MOVER_LOCK, { role: 'nomaly_system' }, async () => ({
    value: await work(),
  }))
  if (done === undefined)
    throw new NomalyError('conflict', 'Another process is moving the metrics of this database.', {
      hint: 'Wait for it; where it was killed, its connection ends within a minute.',
    })
  return done.value
}
