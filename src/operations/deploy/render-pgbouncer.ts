import {
  APPLICATION_LOGIN,
  type BalancerMember,
  type ConfigFile,
  DATABASE_NAME,
  type Member,
} from './cluster.ts'

/** Connections to the leader that each pooler keeps; what clients want beyond it waits. */
const SERVER_CONNECTIONS = 60

/**
 * The configuration of one PgBouncer, 1.18 or newer (https://www.pgbouncer.org/config.html), and the list of its users.
 * @param verifier what PostgreSQL keeps of the application's password: it is enough for both sides.
 */
export function renderPgbouncer(member: Member, balancer: BalancerMember, verifier: string): ConfigFile[] {
  const { config, run } = member.places
  const text = `; PgBouncer: many clients on few connections to the leader. LISTEN and session locks go past it (DIRECT_DATABASE_URL).
[databases]
${DATABASE_NAME} = host=${balancer.host} port=${balancer.primaryPort} dbname=${DATABASE_NAME}

[pgbouncer]
listen_addr = ${member.listenHost}
listen_port = ${member.port}
unix_socket_dir = ${run}
auth_type = scram-sha-256
auth_file = ${config}/userlist.txt
client_tls_sslmode = require
client_tls_cert_file = ${config}/tls.crt
client_tls_key_file = ${config}/tls.key
server_tls_sslmode = verify-full
server_tls_ca_file = ${config}/ca.crt

pool_mode = transaction
max_client_conn = 1000
default_pool_size = ${SERVER_CONNECTIONS}
query_wait_timeout = 30
server_lifetime = 3600
server_idle_timeout = 60
server_connect_timeout = 5
; After a failover the next connection is tried at once.
server_login_retry = 1
ignore_startup_parameters = extra_float_digits
log_connections = 0
log_disconnections = 0
`
  return [
    { name: 'pgbouncer.ini', text, mode: 0o644 },
    { name: 'userlist.txt', text: `"${APPLICATION_LOGIN}" "${verifier}"\n`, mode: 0o600 },
  ]
}
