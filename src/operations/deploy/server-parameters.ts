import type { Cluster } from './cluster.ts'

/** Connections that each API or worker process may have open: its pool with what overflows, the queue, LISTEN, presence. */
const CONNECTIONS_PER_PROCESS = 56
/** Patroni, backups, an operator, and the old sessions of a process that has just been restarted. */
const SPARE_CONNECTIONS = 32

/** The settings of PostgreSQL that hold for every member of a cluster, the same on each since any may lead. */
export function serverParameters(cluster: Cluster): [name: string, value: string][] {
  const memoryMib = cluster.databaseMemoryBytes / 1_048_576
  const processes = cluster.apis.length + cluster.workers.length
  return [
    ['max_connections', String(processes * CONNECTIONS_PER_PROCESS + SPARE_CONNECTIONS)],
    ['max_locks_per_transaction', '512'],
    ['shared_buffers', `${Math.max(32, Math.round(memoryMib / 4))}MB`],
    ['effective_cache_size', `${Math.max(64, Math.round((memoryMib * 3) / 4))}MB`],
    ['maintenance_work_mem', `${Math.min(1024, Math.max(16, Math.round(memoryMib / 16)))}MB`],
    ['work_mem', '8MB'],
    ['jit', 'off'],

    ['fsync', 'on'],
    ['full_page_writes', 'on'],
    // With a synchronous standby this waits for its disk as well; without one for the leader's own.
    ['synchronous_commit', 'on'],
    ['wal_level', 'replica'],
    ['hot_standby', 'on'],
    // Needed by pg_rewind, beside the checksums of initdb.
    ['wal_log_hints', 'on'],
    ['wal_compression', 'on'],
    ['max_wal_size', '2GB'],
    ['max_wal_senders', '10'],
    ['max_replication_slots', '10'],
    // Without slots: a standby that was away for more than this is copied anew, which Patroni does by itself.
    ['wal_keep_size', '2GB'],
    // A standby that stays away is copied anew, rather than filling the leader's disk.
    ['max_slot_wal_keep_size', '10GB'],
    // A promotion waits for the end of this pause, and so do the standbys that then look for the new leader.
    ['wal_retrieve_retry_interval', '100ms'],
    // A standby whose leader is gone without a word notices after this.
    ['wal_receiver_timeout', '10s'],
    ['wal_sender_timeout', '10s'],

    ['password_encryption', 'scram-sha-256'],
    ['client_connection_check_interval', '5s'],
    ['tcp_keepalives_idle', '30'],
    ['tcp_keepalives_interval', '10'],
    ['tcp_keepalives_count', '3'],
    ['timezone', 'UTC'],
    ['log_timezone', 'UTC'],
    // The text of a statement may hold what is private.
    ['log_min_error_statement', 'panic'],
    ['log_min_duration_statement', '-1'],
    ['log_statement', 'none'],
  ]
}
