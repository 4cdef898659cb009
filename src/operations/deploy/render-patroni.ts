import {
  ADMIN_LOGIN,
  APPLICATION_LOGIN,
  type Cluster,
  type ClusterSecrets,
  type ConfigFile,
  DATABASE_NAME,
  type DatabaseMember,
  hostPort,
  PATRONI_USER,
  quoted,
} from './cluster.ts'
import { serverParameters } from './server-parameters.ts'
import { CLOCKS, describeLoss } from './preset.ts'

/** The configuration of one Patroni (https://patroni.readthedocs.io/en/latest/yaml_configuration.html), understood by 3.0 and newer. */
export function renderPatroni(cluster: Cluster, member: DatabaseMember, secrets: ClusterSecrets): ConfigFile {
  const { config, data, run } = member.places
  const connect = member.connectAddress ?? member
  const clock = CLOCKS[cluster.timing]
  const inConfig = (name: string): string => quoted(`${config}/${name}`)
  const login = (user: string, password: string): string =>
    [
      `      username: ${user}`,
      `      password: ${quoted(password)}`,
      '      sslmode: verify-full',
      `      sslrootcert: ${inConfig('ca.crt')}`,
    ].join('\n')
  const hba = [
    // Patroni asks its own server by the socket, also as a standby would: without that it cannot tell whether to rewind.
    'local all all scram-sha-256',
    'local replication replicator scram-sha-256',
    ...cluster.clientNetworks.flatMap((network) => [
      `hostssl replication replicator ${network} scram-sha-256`,
      `hostssl all all ${network} scram-sha-256`,
    ]),
  ]
  const text = `# Patroni: runs one PostgreSQL, and agrees with the others through etcd on who leads.
scope: ${cluster.name}
namespace: /nomaly/
name: ${member.name}

log:
  level: INFO

restapi:
  listen: ${hostPort(member.listenHost, member.restPort)}
  connect_address: ${hostPort(member.host, member.restPort)}
  certfile: ${inConfig('tls.crt')}
  keyfile: ${inConfig('tls.key')}
  cafile: ${inConfig('ca.crt')}
  # Asked for wherever something is changed: switchover, restart, failsafe.
  authentication:
    username: ${PATRONI_USER}
    password: ${quoted(secrets.patroni)}

ctl:
  cacert: ${inConfig('ca.crt')}

# By the older API of etcd, on purpose. By the newer one (etcd3) Patroni before 3.0.3 writes the leader's key without looking: a leader that was
# frozen takes it back from its successor when it goes on, and what was acknowledged meanwhile is lost.
etcd:
  hosts:
${cluster.etcd.map(({ host, port }) => `    - ${hostPort(host, port)}`).join('\n')}
  protocol: https
  cacert: ${inConfig('ca.crt')}
  cert: ${inConfig('tls.crt')}
  key: ${inConfig('tls.key')}

bootstrap:
  # Written to etcd when the cluster is made; from then on it is changed with \`patronictl edit-config\`, not here.
  dcs:
${indent(renderDynamic(cluster), 4)}
  initdb:
    - encoding: UTF8
    - locale: C.UTF-8
    - data-checksums
    - auth: scram-sha-256
  post_bootstrap: /bin/sh ${config}/post-bootstrap.sh

postgresql:
  listen: ${hostPort(member.listenHost, member.port)}
  connect_address: ${hostPort(connect.host, connect.port)}
  data_dir: ${quoted(`${data}/postgres`)}
  bin_dir: ${quoted(cluster.binaries)}
  pgpass: ${quoted(`${run}/pgpass`)}
  use_unix_socket: true
  use_unix_socket_repl: true
  authentication:
    superuser:
${login('postgres', secrets.superuser)}
    replication:
${login('replicator', secrets.replication)}
    rewind:
${login('rewinder', secrets.rewind)}
  parameters:
    unix_socket_directories: ${quoted(run)}
    ssl: "on"
    ssl_cert_file: ${inConfig('tls.crt')}
    ssl_key_file: ${inConfig('tls.key')}
    ssl_ca_file: ${inConfig('ca.crt')}
    ssl_min_protocol_version: TLSv1.2
  # Who may connect: with a password, over TLS, from these networks. Everybody else is refused.
  pg_hba:
${hba.map((line) => `    - ${line}`).join('\n')}
  basebackup:
    # Or a new standby waits for the next checkpoint, up to five minutes, before it begins.
    - checkpoint: fast
  # A former leader that cannot be rewound is copied anew by itself.
  remove_data_directory_on_rewind_failure: true
  remove_data_directory_on_diverged_timelines: true

# A watchdog resets a machine whose Patroni hangs while its PostgreSQL still takes writes. -1 is half of ttl.
watchdog:
  mode: "${cluster.watchdog}"
  safety_margin: ${clock.ttlSeconds < 15 ? -1 : 5}

tags:
  nofailover: false
  noloadbalance: false
  clonefrom: true
  nosync: false
`
  return { name: 'patroni.yml', text, mode: 0o600 }
}

/** What holds for the whole cluster: the preset and the clock. */
function renderDynamic(cluster: Cluster): string {
  const { preset, timing, maxLagBytes } = cluster
  const clock = CLOCKS[timing]
  const durability =
    preset === 'never-lose'
      ? `# A commit is acknowledged once it is on the disk of a standby too.
synchronous_mode: true
# Without a standby nothing is acknowledged: this also keeps a leader that was cut off, or whose Patroni hangs, from taking writes.
synchronous_mode_strict: true
synchronous_node_count: 1`
      : `# A commit is acknowledged once it is on the leader's own disk.
synchronous_mode: false`
  const parameters = serverParameters(cluster).map(([name, value]) => `    ${name}: ${quoted(value)}`)
  return `# ${describeLoss(preset, timing, maxLagBytes)}
# Patroni 3.2 and newer raise 5/1/2 to ttl 20, loop_wait 2, retry_timeout 3.
ttl: ${clock.ttlSeconds}
loop_wait: ${clock.loopWaitSeconds}
retry_timeout: ${clock.retryTimeoutSeconds}
maximum_lag_on_failover: ${maxLagBytes}
primary_start_timeout: ${clock.startTimeoutSeconds}
${durability}
# While etcd is away the leader goes on as long as every member says that it follows.
failsafe_mode: true
postgresql:
  use_pg_rewind: true
  # A new leader makes slots only some seconds after it was promoted, and nothing is acknowledged before a standby has found its own.
  use_slots: false
  parameters:
${parameters.join('\n')}`
}

/**
 * The script that Patroni calls once, with the address of the new leader: makes the database and its logins. Passwords
 * are not in it but what PostgreSQL keeps of them.
 */
export function renderPostBootstrap(
  cluster: Cluster,
  verifiers: { readonly admin: string; readonly application: string },
): ConfigFile {
  const text = `#!/bin/sh
# Called by Patroni once, on the first leader, with its address: makes the database and the logins of Nomaly.
set -eu
'${cluster.binaries}/psql' --no-psqlrc --quiet --set ON_ERROR_STOP=1 --dbname "$1" <<'SQL'
create role ${ADMIN_LOGIN} login createrole password '${verifiers.admin}';
create role ${APPLICATION_LOGIN} login noinherit nosuperuser nocreatedb nocreaterole password '${verifiers.application}';
create database ${DATABASE_NAME} owner ${ADMIN_LOGIN};
revoke connect, temporary on database ${DATABASE_NAME} from public;
grant connect on database ${DATABASE_NAME} to ${APPLICATION_LOGIN};
-- For a switchover, which is shorter after one.
grant pg_checkpoint to ${APPLICATION_LOGIN};
SQL
`
  return { name: 'post-bootstrap.sh', text, mode: 0o600 }
}

function indent(text: string, spaces: number): string {
  return text
    .split('\n')
    .map((line) => (line === '' ? '' : ' '.repeat(spaces) + line))
    .join('\n')
}
