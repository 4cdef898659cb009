import { integer, type Option, text } from './option.ts'

function optional(env: string, fallbackText: string, description: string): Option<string | undefined> {
  return { env, kind: { type: 'text' }, fallback: undefined, fallbackText, description }
}

/** How backups of a server that is not ours are made or watched, and how they are put to the proof. */
export const DRILL_OPTIONS = {
  goldenSeries: integer(
    'NOMALY_GOLDEN_SERIES',
    500,
    [0, 1_000_000],
    'series',
    'Of how many series a worker sets the state of the detector aside every hour, and keeps it for three, so that a restore drill can replay what was found since: some 20 kB each. 0: of none, and drills prove less.',
  ),
  drillCron: text(
    'NOMALY_DRILL_CRON',
    '',
    'When a worker on this machine restores the newest backup and puts it to the proof, as five fields in UTC: `30 4 * * 0`. Empty: only `nomaly backup drill` does.',
  ),
  drillFolder: optional(
    'NOMALY_DRILL_DIR',
    'a folder for temporary files',
    'Where a drill restores to; it takes as much room as the database, and is emptied afterwards.',
  ),
  pgbackrestRepository: optional(
    'NOMALY_PGBACKREST_REPO',
    'none: DATABASE_URL is not backed up by us',
    'Where pgBackRest keeps the backups of the server of DATABASE_URL: a folder, or `s3://bucket/prefix`. On the machine of that server.',
  ),
  pgbackrestProgram: text('NOMALY_PGBACKREST', 'pgbackrest', 'The program pgBackRest, 2.45 or newer.'),
  pgbackrestStanza: text(
    'NOMALY_PGBACKREST_STANZA',
    'nomaly',
    'What the server is called in the repository; that of METRICS_DATABASE_URL, where it is another one, gets `-metrics` at the end.',
  ),
  pgbackrestCipherPass: {
    ...optional(
      'NOMALY_PGBACKREST_CIPHER_PASS',
      'the data folder’s own, `secrets/pgbackrest-cipher-pass`, made with the first backup',
      'What everything in the repository is encrypted with. Keep a copy elsewhere: without it nobody can read a backup.',
    ),
    secret: true,
  } as Option<string | undefined>,
  pgbackrestOptions: {
    ...optional(
      'NOMALY_PGBACKREST_OPTIONS',
      'none',
      'More options of pgBackRest, as `name=value` with spaces or new lines between them, above all for S3: `repo1-s3-endpoint=… repo1-s3-region=… repo1-s3-key=… repo1-s3-key-secret=…`.',
    ),
    secret: true,
  } as Option<string | undefined>,
  pgbackrestKeepFull: integer(
    'NOMALY_PGBACKREST_KEEP_FULL',
    4,
    [1, 9_999],
    'backups',
    'How many full backups are kept, each with its differential ones and the log since.',
  ),
  snapshotCommand: optional(
    'NOMALY_SNAPSHOT_COMMAND',
    'none',
    'For a managed server, whose provider makes the backups: a command that prints what there is, as JSON: `{"snapshots": [{"id": …, "at": …, "bytes": …}], "recoverableFrom": …, "recoverableUntil": …}`, all times ISO 8601.',
  ),
  snapshotRestoreCommand: optional(
    'NOMALY_SNAPSHOT_RESTORE_COMMAND',
    'none: only the age of snapshots is watched',
    'A command that restores a snapshot to a server of its own for a drill, waits until it answers, and prints its address as JSON: `{"url": "postgresql://…"}`, for a login that may do everything there. It finds NOMALY_SNAPSHOT_ID and NOMALY_RESTORE_TO in its environment.',
  ),
  snapshotRemoveCommand: optional(
    'NOMALY_SNAPSHOT_REMOVE_COMMAND',
    'none',
    'Takes away what the former has made. It finds NOMALY_SNAPSHOT_ID in its environment, and reads from standard input what the former has printed.',
  ),
  snapshotMaxAgeHours: integer(
    'NOMALY_SNAPSHOT_MAX_AGE_HOURS',
    26,
    [1, 8_760],
    'hours',
    'How old the newest snapshot may be before that is said to be wrong.',
  ),
} as const
