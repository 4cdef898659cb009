import { Gauge, type Registry } from 'prom-client'
import type { Database } from '../../../database/database.ts'
import { type BackupState, readBackupState } from './restore-drills.ts'

/** Who asks for metrics asks for all of them together, and several may. */
const FRESH_MS = 10_000

/** Measures backups and drills of an installation, from what the database knows of them; nothing where that is away. */
export function measureBackups(registry: Registry, database: Database, clock: () => number): void {
  let known: { readonly at: number; readonly state: Promise<BackupState | undefined> } | undefined
  const state = (): Promise<BackupState | undefined> => {
    if (known === undefined || clock() - known.at > FRESH_MS)
      known = { at: clock(), state: readBackupState(database).catch(() => undefined) }
    return known.state
  }
  const ageOf = (at: Date): number => Math.max(0, (clock() - at.getTime()) / 1000)
  const gauge = (
    name: string,
    help: string,
    read: (state: BackupState) => Iterable<readonly [engine: string, value: number | undefined]>,
  ): void => {
    new Gauge({
      name,
      help,
      labelNames: ['engine'],
      registers: [registry],
      async collect() {
        this.reset()
        const now = await state()
        if (now === undefined) return
        for (const [engine, value] of read(now)) if (value !== undefined) this.set({ engine }, value)
      },
    })
  }
  const seen =
    (value: (sighting: BackupState['sightings'][number]) => number | undefined) =>
    ({ sightings }: BackupState) =>
      sightings.map((sighting) => [sighting.engine, value(sighting)] as const)
  const drilled =
    (which: 'last' | 'lastProven', value: (drill: NonNullable<BackupState['last']>) => number | undefined) =>
    (now: BackupState) => {
      const drill = now[which]
      return drill === undefined ? [] : [[drill.engine, value(drill)] as const]
    }
  gauge(
    'nomaly_backup_age_seconds',
    'Time since the newest backup ended',
    seen(({ lastBackupAt }) => (lastBackupAt === null ? undefined : ageOf(lastBackupAt))),
  )
  gauge(
    'nomaly_backup_bytes',
    'What the newest backup takes',
    seen(({ bytes }) => bytes ?? undefined),
  )
  gauge(
    'nomaly_backup_duration_seconds',
    'How long the newest backup took',
    seen(({ durationSeconds }) => durationSeconds ?? undefined),
  )
  gauge(
    'nomaly_backup_recoverable_from_timestamp_seconds',
    'The earliest moment that can be restored',
    seen(({ recoverableFrom }) => (recoverableFrom === null ? undefined : recoverableFrom.getTime() / 1000)),
  )
  gauge(
    'nomaly_backup_problem',
    '1 where something is wrong with the backups, as it was last seen',
    seen(({ problem }) => (problem === null ? 0 : 1)),
  )
  gauge(
    'nomaly_backup_proven_age_seconds',
    'Time since the moment up to which a restore was last proven to bring everything back',
    drilled('lastProven', ({ recoveredTo, finishedAt }) => ageOf(recoveredTo ?? finishedAt)),
  )
  gauge(
    'nomaly_restore_drill_passed',
    '1 where the newest drill has proven its backup, 0 where it did not',
    drilled('last', ({ verdict }) => (verdict === 'failed' ? 0 : 1)),
  )
  gauge(
    'nomaly_restore_drill_rto_seconds',
    'Time from the beginning of the newest drill until the restored databases answered',
    drilled('last', ({ rtoSeconds }) => rtoSeconds ?? undefined),
  )
  gauge(
    'nomaly_restore_drill_rpo_seconds',
    'How much of the newest data was missing in what the newest drill restored',
    drilled('last', ({ rpoSeconds }) => rpoSeconds ?? undefined),
  )
}
