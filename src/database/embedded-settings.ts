import { ARCHIVE_FOLDER } from './log-archive.ts'
import {
  DISCREET_SETTINGS,
  DURABLE_SETTINGS,
  memorySettings,
  parallelSettings,
  quoteSetting,
  type Footing,
  type ServerSetting,
  settingLines,
} from './server-settings.ts'

/** Pools of one process that serves and works, with room for others and for tools. */
export const EMBEDDED_CONNECTIONS = 60

/** What the settings of the embedded server follow from. */
export interface EmbeddedFooting extends Omit<Footing, 'maxConnections'> {
  /** Where its log is kept for backups: after how many seconds a segment that something was written to is finished. */
  readonly archiveSeconds?: number | undefined
}

/** The settings of the embedded server, in the order of its file: durable, modest in memory, silent. */
export function embeddedSettings(footing: EmbeddedFooting): ServerSetting[] {
  const full = { ...footing, maxConnections: EMBEDDED_CONNECTIONS }
  return [
    ...CONNECTIONS,
    ...DURABLE_SETTINGS,
    { name: 'restart_after_crash', value: 'on', why: 'one killed backend does not end the server' },
    ...memorySettings(full),
    ...PROCESSES,
    ...parallelSettings(full),
    ...WRITE_AHEAD_LOG,
    ...archiving(footing.archiveSeconds),
    ...CARE,
    ...EVERYWHERE_THE_SAME,
    ...LOG,
    ...DISCREET_SETTINGS,
  ]
}

/**
 * The text of `nomaly.conf`, which postgresql.conf includes. `overrides` come last and win; tests switch off what makes a throw-away server
 * slow.
 */
export function renderSettings(
  footing: EmbeddedFooting,
  overrides: Readonly<Record<string, string>> = {},
): string {
  return [
    '# Generated at each start; changes here are lost. Use `alter system set …` for your own: it wins over this file.',
    ...settingLines(embeddedSettings(footing)),
    ...Object.entries(overrides).map(([name, value]) => `${name} = ${quoteSetting(value)}`),
    '',
  ].join('\n')
}

const CONNECTIONS = lines([
  ['listen_addresses', '127.0.0.1', 'nobody but this machine connects'],
  [
    'unix_socket_directories',
    '',
    'one way in is enough, and a data folder is often too deep for a socket path',
  ],
  [
    'max_connections',
    String(EMBEDDED_CONNECTIONS),
    'pools of the API, the workers and the queue, with room for tools',
  ],
  [
    'max_locks_per_transaction',
    '256',
    'a query over all time locks a thousand partitions and indexes; costs some megabytes',
  ],
  ['password_encryption', 'scram-sha-256', 'what pg_hba.conf asks for'],
])

const PROCESSES = lines([
  ['huge_pages', 'off', 'they would have to be reserved by an administrator'],
  ['jit', 'off', 'compiling costs more than it saves on short queries, and memory in each backend'],
  ['default_statistics_target', '100', 'enough for the tables here; more makes planning slower'],
  ['track_activity_query_size', '2048', 'who looks at what runs sees whole statements'],
  ['io_method', 'sync', 'each worker process of the other method costs memory while idle'],
  ['max_worker_processes', '6', 'only parallel queries use them here'],
  ['max_logical_replication_workers', '0', 'nothing subscribes here; saves the launcher process'],
])

const WRITE_AHEAD_LOG = lines([
  ['wal_level', 'replica', 'base backups and standbys need it'],
  ['wal_buffers', '-1', 'the server takes a 32nd of shared_buffers, up to 16 MB'],
  ['wal_compression', 'pglz', 'full page images are most of the log and compress well'],
  ['max_wal_size', '1GB', 'at most this much log is replayed after a crash'],
  ['min_wal_size', '80MB', 'gives disk space back when idle'],
  ['checkpoint_timeout', '5min', 'bounds recovery; longer saves little with compressed page images'],
  ['checkpoint_completion_target', '0.9', 'the writing is spread, not done at once'],
])

/** `archive_mode` needs a restart to change, the others do not: so it is always on, and keeps nothing until there are backups. */
function archiving(seconds: number | undefined): ServerSetting[] {
  const isOn = seconds !== undefined
  return lines([
    ['archive_mode', 'on', 'backups can begin without a restart'],
    ['archive_library', isOn ? 'basic_archive' : '', 'copies finished log whole, in the server itself'],
    ['archive_command', isOn ? '' : 'exit 0', 'finished log is kept only where there are backups'],
    ['archive_timeout', `${seconds ?? 0}s`, 'how much could be lost with the machine, in time'],
    ...(isOn
      ? ([
          [
            'basic_archive.archive_directory',
            ARCHIVE_FOLDER,
            'from there `nomaly` stores it with the backups',
          ],
        ] as const)
      : []),
  ])
}

const CARE = lines([
  ['autovacuum_max_workers', '2', 'they compete with the work they serve'],
  ['autovacuum_worker_slots', '4', 'room to raise it without a restart'],
  ['autovacuum_vacuum_scale_factor', '0.05', 'small and frequent instead of rare and long'],
  ['autovacuum_analyze_scale_factor', '0.02', 'plans follow a growing table'],
  ['client_connection_check_interval', '5s', 'a query of a client that was killed ends with it'],
])

const EVERYWHERE_THE_SAME = lines([
  ['timezone', 'UTC', 'the same on every machine'],
  ['log_timezone', 'UTC', 'the same'],
  ['datestyle', 'iso, ymd', 'the same'],
  ['lc_messages', 'C', 'error messages are read by programs'],
])

const LOG = lines([
  ['log_destination', 'stderr', "a file in the data folder's logs, rotated by size"],
  ['logging_collector', 'off', 'would be one more process'],
  ['log_line_prefix', '%m [%p] %q%u@%d ', 'when, which process, who'],
  ['log_checkpoints', 'off', 'not of interest every five minutes'],
  ['log_connections', '', 'pools come and go'],
  ['log_autovacuum_min_duration', '10min', 'only when something is wrong'],
])

function lines(rows: readonly (readonly [name: string, value: string, why: string])[]): ServerSetting[] {
  return rows.map(([name, value, why]) => ({ name, value, why }))
}
