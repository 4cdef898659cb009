import {
  DISCREET_SETTINGS,
  DURABLE_SETTINGS,
  type Footing,
  memorySettings,
  parallelSettings,
  type ServerSetting,
} from '../../database/server-settings.ts'
import { ENOUGH_LOCKS } from '../lock-table.ts'

/** What the settings of a server that does nothing else are made for. */
export interface ServerPlan extends Omit<Footing, 'isOwn'> {
  readonly role: ServerRole
  readonly storage: Storage
}

export type ServerRole = 'primary' | 'replica'

/** What the data is on: solid state, or disks that turn. */
export type Storage = 'ssd' | 'disk'

const GIB = 1024 ** 3

/**
 * The settings of a server that has its machine to itself, PostgreSQL 15 or newer, in the order of postgresql.conf. A replica has all of a
 * primary, which it may become, and what only a standby looks at.
 */
export function planServer(plan: ServerPlan): ServerSetting[] {
  const footing = { ...plan, isOwn: true }
  return [
    ...connectionLines(plan),
    ...DURABLE_SETTINGS,
    ...memorySettings(footing),
    ...plannerLines(plan),
    {
      name: 'max_worker_processes',
      value: String(Math.max(8, plan.processors + 8)),
      why: 'what runs in parallel, and eight for the background work of extensions',
    },
    ...parallelSettings(footing),
    ...logLines(plan),
    ...SENDING,
    ...(plan.role === 'replica' ? FOLLOWING : []),
    ...CARE,
    ...EVERYWHERE_THE_SAME,
    ...REPORTING,
    ...DISCREET_SETTINGS,
  ]
}

function connectionLines({ maxConnections, role }: ServerPlan): ServerSetting[] {
  const sum = 'what all processes may open, and some for tools'
  return lines([
    [
      'max_connections',
      String(maxConnections),
      role === 'primary' ? sum : `${sum}; a standby with fewer than its primary does not start`,
    ],
    [
      'max_locks_per_transaction',
      String(ENOUGH_LOCKS),
      'a read of years locks thousands of partitions or chunks; when the table is full, it is full for everybody',
    ],
    ['password_encryption', 'scram-sha-256', 'the only kind that is not broken'],
    ['client_connection_check_interval', '5s', 'a query of a client that was killed ends with it'],
  ])
}

function plannerLines({ storage }: ServerPlan): ServerSetting[] {
  const isQuick = storage === 'ssd'
  return lines([
    ['huge_pages', 'try', 'used where an administrator has reserved them'],
    ['random_page_cost', isQuick ? '1.1' : '4', `what a read out of order costs on ${storage}`],
    [
      'effective_io_concurrency',
      isQuick ? '200' : '2',
      isQuick ? 'solid state answers hundreds of reads at once' : 'one head can be in one place',
    ],
    ['jit', 'off', 'compiling costs more than it saves on short queries, and memory in each backend'],
    ['default_statistics_target', '100', 'enough for the tables here; more makes planning slower'],
    ['track_activity_query_size', '2048', 'who looks at what runs sees whole statements'],
  ])
}

function logLines({ memoryBytes }: ServerPlan): ServerSetting[] {
  const isLarge = memoryBytes >= 4 * GIB
  return lines([
    ['wal_level', 'replica', 'base backups and standbys need it'],
    ['wal_buffers', '-1', 'the server takes a 32nd of shared_buffers, up to 16 MB'],
    ['wal_compression', 'pglz', 'full page images are most of the log and compress well'],
    ['wal_log_hints', 'on', 'a former primary can be rewound, also without checksums'],
    ['max_wal_size', isLarge ? '4GB' : '1GB', 'checkpoints by the clock, also while much is loaded'],
    ['min_wal_size', isLarge ? '1GB' : '256MB', 'files are used again instead of made anew'],
    ['checkpoint_timeout', '5min', 'bounds recovery, and with it a restart after a crash'],
    ['checkpoint_completion_target', '0.9', 'the writing is spread, not done at once'],
  ])
}

const SENDING = lines([
  ['max_wal_senders', '10', 'standbys, backups and what takes their place'],
  ['max_replication_slots', '10', 'the same'],
  [
    'max_slot_wal_keep_size',
    '16GB',
    'a standby that stays away is given up before it fills the disk of the primary',
  ],
])

const FOLLOWING = lines([
  ['hot_standby', 'on', 'reads while it follows'],
  ['hot_standby_feedback', 'on', 'the primary keeps what a read here still looks at'],
  [
    'max_standby_streaming_delay',
    '10s',
    'a read may hold up what it follows so long, and is then asked of the primary',
  ],
  ['wal_receiver_status_interval', '1s', 'the primary knows how far it is'],
  [
    'wal_retrieve_retry_interval',
    '500ms',
    'a promotion elsewhere is followed in a moment; with 5 s it is felt',
  ],
])

const CARE = lines([
  ['autovacuum_vacuum_scale_factor', '0.05', 'small and frequent instead of rare and long'],
  ['autovacuum_analyze_scale_factor', '0.02', 'plans follow a growing table'],
])

const EVERYWHERE_THE_SAME = lines([
  ['timezone', 'UTC', 'the same on every machine'],
  ['log_timezone', 'UTC', 'the same'],
  ['lc_messages', 'C', 'error messages are read by programs'],
])

const REPORTING = lines([
  ['log_lock_waits', 'on', 'who waits long for a lock, and for whom'],
  ['log_parameter_max_length', '0', 'values of parameters stay out of the log, whoever turns on what'],
])

function lines(rows: readonly (readonly [name: string, value: string, why: string])[]): ServerSetting[] {
  return rows.map(([name, value, why]) => ({ name, value, why }))
}
