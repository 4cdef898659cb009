import { NomalyError } from '../../errors.ts'
import { connectAdmin } from './base-session.ts'
import type { BackupTarget } from './target/backup-target.ts'

/** Below which named restore points are noted. */
const POINTS = 'points/'

/** A moment with a name, in the log of every database of the installation. */
export interface RestorePoint {
  readonly name: string
  readonly lineage: string
  readonly lsn: string
  /** ISO 8601. */
  readonly at: string
  /** Where it stands in the database of the metrics, where that is another one; `null` where it could not be set there. */
  readonly metricsLsn?: string | null
}

/** @throws NomalyError `invalid_input` where a name cannot be one. */
export function requirePointName(name: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/.test(name)) return name
  throw new NomalyError('invalid_input', `"${name.slice(0, 80)}" cannot be the name of a restore point.`, {
    hint: 'Use letters, digits, dots, dashes and underscores: at most 63, and a letter or a digit first.',
  })
}

export async function storePoint(
  target: BackupTarget,
  point: RestorePoint,
  signal: AbortSignal,
): Promise<void> {
  await target.put(`${POINTS}${point.name}.json`, Buffer.from(`${JSON.stringify(point)}\n`), signal)
}

export async function readPoint(
  target: BackupTarget,
  name: string,
  signal: AbortSignal,
): Promise<RestorePoint | undefined> {
  const body = await target.get(`${POINTS}${requirePointName(name)}.json`, signal)
  try {
    return body === undefined ? undefined : (JSON.parse(body.toString('utf8')) as RestorePoint)
  } catch {
    return undefined
  }
}

/** All that were set, oldest first. */
export async function listPoints(target: BackupTarget, signal: AbortSignal): Promise<RestorePoint[]> {
  const points: RestorePoint[] = []
  for (const { name } of await target.list(POINTS, signal)) {
    const point = await readPoint(target, name.slice(POINTS.length, -'.json'.length), signal)
    if (point !== undefined) points.push(point)
  }
  return points.toSorted((a, b) => (a.at < b.at ? -1 : 1))
}

/** Removes those of runs of log that are gone, or from before a moment that can no longer be restored to. */
export async function prunePoints(
  target: BackupTarget,
  isKept: (point: RestorePoint) => boolean,
  signal: AbortSignal,
): Promise<void> {
  const gone = (await listPoints(target, signal)).filter((point) => !isKept(point))
  await target.remove(
    gone.map(({ name }) => `${POINTS}${name}.json`),
    signal,
  )
}

/** Sets a named restore point in a database of the metrics; `null` where the login there may not. */
export async function markMetrics(adminUrl: string, name: string): Promise<string | null> {
  const client = await connectAdmin(adminUrl)
  try {
    const { rows } = await client.query<{ lsn: string }>('select pg_create_restore_point($1) as lsn', [name])
    return rows[0]!.lsn
  } catch (error) {
    if ((error as { code?: string }).code === '42501') return null
    throw error
  } finally {
    await client.end()
  }
}
