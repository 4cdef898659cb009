import { countText } from '../amounts.ts'
import { type Check, fail, type Finding, ok, warn } from '../check.ts'

interface Settings {
  readonly fsync: string
  readonly fullPageWrites: string
  readonly commit: string
  readonly standbys: string
  readonly checksums: string
  /** Synchronous standbys that are connected. */
  readonly connected: number
}

export const DURABILITY: Check = {
  name: 'durability',
  on: 'server',
  looksAt:
    'fsync, full_page_writes, synchronous_commit (also where a login or a database overrides it), checksums, and whether synchronous standbys that are asked for are there.',
  why: 'What was acknowledged must be there after a loss of power.',
  async examine({ ask, databases, isStandby }) {
    const [row] = await ask<Settings>(
      `select current_setting('fsync') as fsync, current_setting('full_page_writes') as "fullPageWrites",
         current_setting('synchronous_commit') as commit, current_setting('synchronous_standby_names') as standbys,
         current_setting('data_checksums') as checksums,
         (select count(*)::int4 from pg_stat_replication where sync_state in ('sync', 'quorum')) as connected`,
    )
    const overrides = await ask<{ setting: string; whose: string }>(
      `select setting, coalesce('login ' || (select rolname from pg_roles where oid = setrole), 'database ' ||
           (select datname from pg_database where oid = setdatabase)) as whose
       from pg_db_role_setting, unnest(setconfig) setting
       where setting ~* '^(synchronous_commit|fsync)=' and setrole in (0, coalesce((select oid from pg_roles where rolname = $1), 0))
         and setdatabase in (0, (select oid from pg_database where datname = any($2)))
       order by setrole desc, setdatabase desc`,
      [databases[0]!.applicationLogin, [databases[0]!.databaseName]],
    )
    const override = overrides.find(({ setting }) => /^synchronous_commit=/i.test(setting))
    const commit = override === undefined ? row!.commit : override.setting.split('=')[1]!
    const found = [
      ...judgeDisk(row!),
      ...judgeCommit(commit, override?.whose),
      ...(isStandby ? [] : judgeStandbys(row!, commit)),
    ]
    if (found.length > 0) return found
    return [ok(describe(row!, commit), { ...row, commit })]
  },
}

function judgeDisk({ fsync, fullPageWrites, checksums }: Settings): Finding[] {
  const found: Finding[] = []
  if (fsync !== 'on')
    found.push(
      fail(
        'fsync is off.',
        'A loss of power or a crash of the system can destroy the whole database, not only the newest of it.',
        'Run `alter system reset fsync`, take it out of postgresql.conf, and reload the server.',
      ),
    )
  if (fullPageWrites !== 'on')
    found.push(
      fail(
        'full_page_writes is off.',
        'A page that was half written when power failed cannot be repaired.',
        'Set full_page_writes = on and reload the server, unless the file system writes pages in one piece, as ZFS does.',
      ),
    )
  if (checksums !== 'on')
    found.push(
      warn(
        'The server was made without checksums.',
        'What the disk changes by itself is not noticed, and goes into backups.',
        'Stop the server and run `pg_checksums --enable`, or carry the data to a server made with them.',
      ),
    )
  return found
}

function judgeCommit(commit: string, whose: string | undefined): Finding[] {
  if (commit !== 'off') return []
  const where = whose === undefined ? '' : ` for the ${whose}`
  return [
    fail(
      `synchronous_commit is off${where}.`,
      'A write is acknowledged before it is on disk: a crash loses what was promised.',
      whose === undefined
        ? 'Set synchronous_commit = on and reload the server.'
        : `Run \`alter ${whose.startsWith('login') ? 'role' : 'database'} … reset synchronous_commit\`.`,
    ),
  ]
}

function judgeStandbys({ standbys, connected }: Settings, commit: string): Finding[] {
  if (standbys === '') return []
  if (['off', 'local'].includes(commit))
    return [
      warn(
        `Synchronous standbys are asked for, and synchronous_commit is ${commit}: nobody waits for them.`,
        'A failover can lose what was acknowledged.',
        'Set synchronous_commit = on, or leave synchronous_standby_names empty.',
      ),
    ]
  if (connected > 0) return []
  return [
    fail(
      'Synchronous standbys are asked for, and none is connected.',
      'Every write waits until one is back.',
      'Bring a standby back, or empty synchronous_standby_names and reload, which gives up what they were for.',
    ),
  ]
}

function describe({ standbys, connected }: Settings, commit: string): string {
  if (standbys === '')
    return `Commits are on disk before they are acknowledged (synchronous_commit ${commit}).`
  return `Commits are on disk here and on ${countText(connected, 'synchronous standby', 'synchronous standbys')} before they are acknowledged (synchronous_commit ${commit}).`
}
