import { bytesText, durationText } from '../amounts.ts'
import { type Check, fail, type Finding, ok, warn } from '../check.ts'

/** So many times max_wal_size is more than a checkpoint that runs late explains. */
const MUCH = 3

interface Log {
  readonly bytes: number
  readonly maxBytes: number
  readonly archives: boolean
  readonly failedSeconds: number | null
  readonly isFailing: boolean
  readonly failedFile: string | null
}

export const WRITE_AHEAD_LOG: Check = {
  name: 'write-ahead-log',
  on: 'server',
  looksAt: 'The size of pg_wal against max_wal_size, and whether archiving works where it is turned on.',
  why: 'A log that cannot be cleaned up fills the disk; one that is not archived makes a hole in the backups.',
  async examine({ ask }) {
    const [row] = await ask<Log>(
      `select (select coalesce(sum(size), 0)::float8 from pg_ls_waldir()) as bytes,
         (select setting::float8 * 1048576 from pg_settings where name = 'max_wal_size') as "maxBytes",
         current_setting('archive_mode') <> 'off' as archives,
         extract(epoch from clock_timestamp() - last_failed_time)::float8 as "failedSeconds",
         last_failed_time is not null and last_failed_time > coalesce(last_archived_time, '-infinity') as "isFailing",
         last_failed_wal as "failedFile"
       from pg_stat_archiver`,
    )
    const { bytes, maxBytes, archives, isFailing, failedSeconds, failedFile } = row!
    const found: Finding[] = []
    if (archives && isFailing)
      found.push(
        fail(
          `Archiving fails: ${failedFile} could not be archived ${durationText(failedSeconds ?? 0)} ago.`,
          'Backups have a hole from here on, and the log is kept until the disk is full.',
          "See the server's log for what archive_command says, and mend that.",
        ),
      )
    if (bytes > maxBytes * MUCH)
      found.push(
        warn(
          `pg_wal has ${bytesText(bytes)}, and max_wal_size is ${bytesText(maxBytes)}.`,
          'Something keeps the log from being cleaned up; it may fill the disk.',
          'Look at `replication-slots` here, at archiving, and at wal_keep_size.',
        ),
      )
    if (found.length > 0) return found
    return [
      ok(`pg_wal has ${bytesText(bytes)}${archives ? ', and archiving works' : ''}.`, { bytes, maxBytes }),
    ]
  },
}
