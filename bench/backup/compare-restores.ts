import { randomBytes, randomUUID } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { BackupKey } from '../../src/operations/backup/backup-key.ts'
import { EmbeddedBackupEngine } from '../../src/operations/backup/embedded-backup-engine.ts'
import { FolderTarget } from '../../src/operations/backup/target/folder-target.ts'
import type { BenchContext } from '../benchmark.ts'
import { askOne, giveAway, hasDebianServer, makeCluster, runTool, startDebian } from './debian-server.ts'

/** What was measured of one database. */
export interface RestoreComparison {
  readonly databaseBytes: number
  readonly backupMs: number
  readonly storedBytes: number
  readonly differentialBytes: number
  readonly restoreMs: number
  readonly dumpMs: number
  readonly pgRestoreMs: number
  readonly versions: Readonly<Record<string, string>>
}

const POINTS = 8_000_000
const QUICK_POINTS = 1_000_000
const CHECKSUM = `select (select sum(hash_record_extended(p, 0)::numeric) from points p)::text || (select sum(hash_record_extended(l, 0)::numeric) from notes l)::text as sum`

/**
 * Restores one database in both ways, one after the other. On Debian's PostgreSQL 15, since its `pg_dump` refuses the embedded server, which is newer and
 * comes without tools. Answers `undefined`, having said why, where there is none.
 */
export async function compareRestores(context: BenchContext): Promise<RestoreComparison | undefined> {
  const { directory, signal, log } = context
  if (!(await hasDebianServer())) {
    log(
      'PostgreSQL 15 of Debian is not here: restores are not compared with pg_restore. `apt-get install postgresql-15` brings it.',
    )
    return undefined
  }
  const cluster = join(directory, 'cluster')
  await makeCluster(cluster, randomUUID())
  await using server = await startDebian(cluster, signal)
  await fill(server.url, context.quick ? QUICK_POINTS : POINTS)
  const { bytes, version } = await askOne<{ bytes: string; version: string }>(
    server.url,
    `select pg_database_size('postgres') as bytes, current_setting('server_version') as version`,
  )
  const { sum } = await askOne<{ sum: string }>(server.url, CHECKSUM)

  const engine = new EmbeddedBackupEngine({
    target: new FolderTarget(join(directory, 'backups'), Date.now),
    key: BackupKey.parse(randomBytes(32).toString('base64url')),
    cluster: {
      directory: () => Promise.resolve(cluster),
      adminUrl: () => Promise.resolve(server.url),
      keepLog: () => Promise.reject(new Error('The log of this cluster is kept from the beginning.')),
      async place(folder, _, files) {
        const made = join(folder, 'postgres')
        await mkdir(made, { recursive: true, mode: 0o700 })
        await files(made)
        await giveAway(made)
        return made
      },
    },
    retention: { fulls: 2, days: 1 },
    bytesPerSecond: 0,
    segmentSeconds: 60,
    metricsAdminUrl: undefined,
    clock: Date.now,
    log,
  })
  const [backupMs, full] = await timed(() => engine.create({ kind: 'full', signal }))
  log(`full backup: ${Math.round(full.databaseBytes / 1e6)} MB in ${Math.round(backupMs)} ms`)

  const restored = join(directory, 'restored')
  const [restoreMs, back] = await timed(async () => {
    await mkdir(restored)
    const files = await engine.restoreInto(restored, { kind: 'latest' }, { signal })
    return startDebian(files.directory, signal)
  })
  {
    await using running = back
    await requireSame(running.url, sum)
  }
  log(`restore: ${Math.round(restoreMs)} ms`)

  const dump = join(directory, 'dump')
  const [dumpMs] = await timed(() =>
    runTool('pg_dump', ['-Fd', '-j', '2', '-Z', '1', '-f', dump, server.url], signal),
  )
  await askOne(server.url, 'create database copied template template0')
  const copied = server.url.replace('/postgres?', '/copied?')
  const [pgRestoreMs] = await timed(() => runTool('pg_restore', ['-j', '2', '-d', copied, dump], signal))
  await requireSame(copied, sum)
  log(`pg_dump: ${Math.round(dumpMs)} ms, pg_restore: ${Math.round(pgRestoreMs)} ms`)
  await askOne(server.url, 'drop database copied')

  await askOne(server.url, `update points set value = value + 1 where series_id = 0`)
  const differential = await engine.create({ kind: 'differential', signal })
  return {
    databaseBytes: Number(bytes),
    backupMs,
    storedBytes: full.storedBytes,
    differentialBytes: differential.storedBytes,
    restoreMs,
    dumpMs,
    pgRestoreMs,
    versions: { postgresql: version },
  }
}

/** A hundred series of points as the product keeps them, and text beside. */
async function fill(url: string, points: number): Promise<void> {
  await askOne(
    url,
    `create table points (time timestamptz not null, series_id int not null, value float8 not null);
     insert into points select timestamptz '2026-01-01' + (i / 100) * interval '10 seconds', i % 100, random() from generate_series(0, ${points - 1}) i;
     alter table points add unique (series_id, time);
     create table notes (id int primary key, at timestamptz not null, tags jsonb not null, text text not null);
     insert into notes select i, timestamptz '2026-01-01' + i * interval '1 minute', jsonb_build_object('host', 'web-' || i % 50, 'level', i % 4),
       repeat(md5(i::text), 4) from generate_series(1, ${points / 20}) i;
     create index on notes (at); create index on notes using gin (tags jsonb_path_ops)`,
  )
  await askOne(url, 'vacuum analyze')
  await askOne(url, 'checkpoint')
}

async function requireSame(url: string, sum: string): Promise<void> {
  const found = await askOne<{ sum: string }>(url, CHECKSUM)
  if (found.sum !== sum) throw new Error('What was restored is not what was there.')
}

async function timed<T>(work: () => Promise<T>): Promise<[ms: number, value: T]> {
  const startedAt = performance.now()
  const value = await work()
  return [performance.now() - startedAt, value]
}
