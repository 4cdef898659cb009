import { integer, type Option } from './option.ts'

function secret(env: string, fallbackText: string, description: string): Option<string | undefined> {
  return { env, kind: { type: 'text' }, fallback: undefined, fallbackText, secret: true, description }
}

/** Where backups go, how they are locked up, and how long they are kept. */
export const BACKUP_OPTIONS = {
  backupTarget: {
    env: 'NOMALY_BACKUP_TARGET',
    kind: { type: 'text' },
    fallback: undefined,
    fallbackText: 'none: there are no backups',
    description:
      'Where backups of the embedded database are kept: a folder, best on another disk and never in the data folder, or `s3://bucket/prefix`.',
  } as Option<string | undefined>,
  backupKey: secret(
    'NOMALY_BACKUP_KEY',
    'the data folder’s own, made with the first backup',
    'What everything that is stored is encrypted with, as `nomaly backup key` prints it; better in a file, as NOMALY_BACKUP_KEY_FILE. Without it nobody can read a backup.',
  ),
  backupS3Endpoint: {
    env: 'NOMALY_BACKUP_S3_ENDPOINT',
    kind: { type: 'url' },
    fallback: undefined,
    fallbackText: 'Amazon S3',
    description:
      'Address of a storage that speaks S3, where it is not Amazon’s; the bucket then stands in the path.',
  } as Option<string | undefined>,
  backupS3Region: {
    env: 'NOMALY_BACKUP_S3_REGION',
    kind: { type: 'text' },
    fallback: 'us-east-1',
    description: 'Region of the bucket.',
  } as Option<string>,
  backupS3AccessKey: secret('NOMALY_BACKUP_S3_ACCESS_KEY', 'none', 'Access key id for the bucket.'),
  backupS3SecretKey: secret('NOMALY_BACKUP_S3_SECRET_KEY', 'none', 'The secret that goes with it.'),
  backupS3SessionToken: secret(
    'NOMALY_BACKUP_S3_SESSION_TOKEN',
    'none',
    'The token that goes with them, where they are for a session only.',
  ),
  backupRate: integer(
    'NOMALY_BACKUP_RATE',
    67_108_864,
    [0, 10_737_418_240],
    'bytes/s',
    'How fast a backup reads the database at most, so that who uses it does not feel it; 0 for as fast as it goes.',
  ),
  backupKeepFull: integer(
    'NOMALY_BACKUP_KEEP_FULL',
    2,
    [1, 1_000],
    'backups',
    'How many full backups are kept at least.',
  ),
  backupKeepDays: integer(
    'NOMALY_BACKUP_KEEP_DAYS',
    14,
    [1, 3_650],
    'days',
    'Every moment of so many days back can be restored to: backups and log that this needs are kept.',
  ),
  backupLogSeconds: integer(
    'NOMALY_BACKUP_LOG_SECONDS',
    60,
    [5, 86_400],
    's',
    'After how long a piece of log that something was written to is stored even when it is not full: what the loss of the machine costs at most.',
  ),
  backupWaitingBytes: integer(
    'NOMALY_BACKUP_WAITING_BYTES',
    4_294_967_296,
    [67_108_864, 1_099_511_627_776],
    'bytes',
    'How much log may wait on the disk of the database while the target is away. Beyond it that log is let go, so that the database does not stop, and a backup is made as soon as the target is back.',
  ),
} as const
