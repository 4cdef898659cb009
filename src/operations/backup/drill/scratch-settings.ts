/** Where a scratch server has its things. */
export interface ScratchPlaces {
  readonly directory: string
  readonly hbaFile: string
  readonly identFile: string
  readonly sockets: string
  readonly port: number
  /** Libraries without which the data cannot be read. */
  readonly preload: readonly string[]
}

/** Modest, silent, and cut off: nothing is archived, sent, scheduled or loaded that the data does not need. */
export function scratchSettings({
  directory,
  hbaFile,
  identFile,
  sockets,
  port,
  preload,
}: ScratchPlaces): Record<string, string> {
  return {
    data_directory: directory,
    hba_file: hbaFile,
    port: String(port),
    listen_addresses: '127.0.0.1',
    unix_socket_directories: sockets,
    ssl: 'off',
    // Standbys must have room for what the primary had; one that nobody reads during recovery need not.
    hot_standby: 'off',
    max_connections: '40',
    max_prepared_transactions: '100',
    max_locks_per_transaction: '1024',
    max_worker_processes: '8',
    shared_preload_libraries: preload.join(','),
    ...(preload.includes('timescaledb')
      ? { 'timescaledb.max_background_workers': '0', 'timescaledb.telemetry_level': 'off' }
      : {}),
    archive_mode: 'off',
    synchronous_standby_names: '',
    primary_conninfo: '',
    max_logical_replication_workers: '0',
    autovacuum: 'off',
    fsync: 'off',
    shared_buffers: '128MB',
    maintenance_work_mem: '256MB',
    huge_pages: 'off',
    jit: 'off',
    logging_collector: 'off',
    log_destination: 'stderr',
    log_statement: 'none',
    log_min_duration_statement: '-1',
    lc_messages: 'C',
    external_pid_file: '',
    ident_file: identFile,
  }
}
