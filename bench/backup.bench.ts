import { latencyBesideBackup } from './backup/latency-beside-backup.ts'
import { compareRestores } from './backup/compare-restores.ts'
import type { Benchmark } from './benchmark.ts'
import { atLeast, atMost, reported } from './checks.ts'

const GB = 1e9

/** Backups: how fast one is restored beside `pg_restore`, and what those who use the product feel of one that is being made. */
export const backup: Benchmark = {
  summary: 'restore against pg_restore of the same database, and latency while a backup is made',
  async run(context) {
    const restores = await compareRestores(context)
    const latency = await latencyBesideBackup(context)
    return {
      versions: { ...restores?.versions, 'embedded postgresql': latency.postgresVersion },
      checks: [
        ...(restores === undefined
          ? []
          : [
              atLeast(
                'restore, times faster than pg_restore',
                restores.pgRestoreMs / restores.restoreMs,
                '×',
                3,
              ),
              reported('database', restores.databaseBytes / GB, 'GB'),
              reported(
                'restore, until it takes writes',
                perGb(restores.restoreMs, restores.databaseBytes),
                's/GB',
              ),
              reported('pg_restore, two jobs', perGb(restores.pgRestoreMs, restores.databaseBytes), 's/GB'),
              reported(
                'full backup, as fast as it goes',
                perGb(restores.backupMs, restores.databaseBytes),
                's/GB',
              ),
              reported('pg_dump, two jobs', perGb(restores.dumpMs, restores.databaseBytes), 's/GB'),
              reported('full backup, stored', restores.storedBytes / restores.databaseBytes, 'of its size'),
              reported(
                'differential after 1 % changed',
                restores.differentialBytes / restores.storedBytes,
                'of the full one',
              ),
            ]),
        atMost('p99 while a backup is made', latency.during.p99Ms / latency.without.p99Ms, '× without', 2),
        reported('p99 without', latency.without.p99Ms, 'ms'),
        reported('p99 during', latency.during.p99Ms, 'ms'),
        reported('p50 without', latency.without.p50Ms, 'ms'),
        reported('p50 during', latency.during.p50Ms, 'ms'),
        reported('requests during', latency.during.requests, ''),
        reported('rate of the backup', latency.bytesPerSecond / 1e6, 'MB/s'),
      ],
    }
  },
}

function perGb(ms: number, bytes: number): number {
  return ms / 1000 / (bytes / GB)
}
