import type pg from 'pg'

/** What is known of a running cluster, kept beside the configuration so that a restore finds it when the cluster is gone. */
export interface ClusterFacts {
  readonly dataDirectory: string
  readonly port: number
  readonly socketFolder: string
  /** Folder of `postgres`. */
  readonly binFolder: string
  readonly systemId: string
  readonly segmentBytes: number
  /** Of what it loads at the start, what data may need: TimescaleDB. */
  readonly preload: readonly string[]
  /** Bytes of all its databases. */
  readonly bytes: number
}

/** Asks a cluster; the login must be a superuser's, or a member of pg_read_all_settings and pg_monitor. */
export async function readFacts(client: pg.Client): Promise<ClusterFacts> {
  const { rows } = await client.query<{
    dataDirectory: string
    port: number
    sockets: string
    binFolder: string
    systemId: string
    segmentBytes: number
    preload: string
    bytes: number
  }>(
    `select current_setting('data_directory') as "dataDirectory", current_setting('port')::int4 as port,
       current_setting('unix_socket_directories') as sockets,
       (select setting from pg_config where name = 'BINDIR') as "binFolder",
       (select system_identifier::text from pg_control_system()) as "systemId",
       (select setting::float8 from pg_settings where name = 'wal_segment_size') as "segmentBytes",
       current_setting('shared_preload_libraries') as preload,
       (select sum(pg_database_size(oid))::float8 from pg_database) as bytes`,
  )
  const { sockets, preload, ...facts } = rows[0]!
  return {
    ...facts,
    socketFolder: sockets.split(',')[0]!.trim().replaceAll('"', ''),
    preload: preload.split(',').filter((name) => name.trim() === 'timescaledb'),
  }
}
