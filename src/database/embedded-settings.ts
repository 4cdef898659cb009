/** What the settings are measured by. */
export interface Machine {
  /** Memory this process may use, of the machine or of its control group, in bytes. */
  readonly memoryBytes: number
  readonly processors: number
}

const MIB = 1024 * 1024

/**
 * The text of `nomaly.conf`, which postgresql.conf includes: durable, modest in memory (see docs of each line), silent.
 * `overrides` come last and win; tests switch off what makes a throw-away server slow.
 */
export function renderSettings(machine: Machine, overrides: Readonly<Record<string, string>> = {}): string {
  const memoryMib = machine.memoryBytes / MIB
  const sharedBuffersMib = Math.round(Math.min(128, Math.max(16, memoryMib / 32)))
  const parallel = Math.max(0, Math.min(4, machine.processors - 1))
  const lines: [name: string, value: string, why: string][] = [
    ['listen_addresses', "'127.0.0.1'", 'nobody but this machine connects'],
    [
      'unix_socket_directories',
      "''",
      'one way in is enough, and a data folder is often too deep for a socket path',
    ],
    ['max_connections', '60', 'pools of the API, the workers and the queue, with room for tools'],
    [
      'max_locks_per_transaction',
      '256',
      'a query over all time locks a thousand partitions and indexes; costs some megabytes',
    ],
    ['password_encryption', "'scram-sha-256'", 'what pg_hba.conf asks for'],

    ['fsync', 'on', 'what was acknowledged survives a loss of power'],
    ['synchronous_commit', 'on', 'a commit is acknowledged only when it is on disk'],
    ['full_page_writes', 'on', 'a page half written when power failed can be repaired'],
    ['restart_after_crash', 'on', 'one killed backend does not end the server'],

    [
      'shared_buffers',
      `${sharedBuffersMib}MB`,
      "a 32nd of memory up to 128 MB; the system's own page cache does the rest",
    ],
    [
      'effective_cache_size',
      `${Math.round(memoryMib / 2)}MB`,
      'what the planner may expect in the page cache; allocates nothing',
    ],
    [
      'work_mem',
      `${memoryMib < 2048 ? 4 : 8}MB`,
      'each sort or hash; times connections it must stay far below memory',
    ],
    ['maintenance_work_mem', `${memoryMib < 2048 ? 32 : 64}MB`, 'index builds and vacuum'],
    ['huge_pages', 'off', 'they would have to be reserved by an administrator'],
    ['jit', 'off', 'compiling costs more than it saves on short queries, and memory in each backend'],

    ['io_method', "'sync'", 'each worker process of the other method costs memory while idle'],
    ['max_worker_processes', '6', 'only parallel queries use them here'],
    ['max_parallel_workers', String(parallel), 'one processor stays free for everything else'],
    ['max_parallel_workers_per_gather', String(Math.min(2, parallel)), 'the same'],
    ['max_parallel_maintenance_workers', String(Math.min(2, parallel)), 'the same'],
    ['max_logical_replication_workers', '0', 'nothing subscribes here; saves the launcher process'],

    ['wal_level', 'replica', 'base backups and standbys need it'],
    ['wal_compression', 'on', 'full page images are most of the log and compress well'],
    ['max_wal_size', '1GB', 'at most this much log is replayed after a crash'],
    ['min_wal_size', '80MB', 'gives disk space back when idle'],
    ['checkpoint_timeout', '5min', 'bounds recovery; longer saves little with compressed page images'],

    ['autovacuum_max_workers', '2', 'they compete with the work they serve'],
    ['autovacuum_worker_slots', '4', 'room to raise it without a restart'],
    ['autovacuum_vacuum_scale_factor', '0.05', 'small and frequent instead of rare and long'],
    ['autovacuum_analyze_scale_factor', '0.02', 'plans follow a growing table'],

    ['client_connection_check_interval', "'5s'", 'a query of a client that was killed ends with it'],
    ['timezone', "'UTC'", 'the same on every machine'],
    ['log_timezone', "'UTC'", 'the same'],
    ['datestyle', "'iso, ymd'", 'the same'],
    ['lc_messages', "'C'", 'error messages are read by programs'],

    ['log_destination', "'stderr'", "a file in the data folder's logs, rotated by size"],
    ['logging_collector', 'off', 'would be one more process'],
    ['log_line_prefix', "'%m [%p] %q%u@%d '", 'when, which process, who'],
    ['log_checkpoints', 'off', 'not of interest every five minutes'],
    ['log_connections', "''", 'pools come and go'],
    ['log_min_duration_statement', '-1', 'the application times its own queries'],
    ['log_min_error_statement', "'panic'", 'the text of a statement may hold what is private'],
    ['log_autovacuum_min_duration', "'10min'", 'only when something is wrong'],
  ]
  const width = Math.max(...lines.map(([name, value]) => name.length + value.length)) + 3
  return [
    '# Generated at each start; changes here are lost. Use `alter system set …` for your own: it wins over this file.',
    ...lines.map(([name, value, why]) => `${`${name} = ${value}`.padEnd(width)} # ${why}`),
    ...Object.entries(overrides).map(([name, value]) => `${name} = '${value.replaceAll("'", "''")}'`),
    '',
  ].join('\n')
}
