import { type BalancerMember, type Cluster, type ConfigFile, hostPort } from './cluster.ts'
import { CLOCKS } from './preset.ts'

/** How far behind a standby on the port of the replicas may be; those who need to know better ask each one by itself. */
const REPLICA_LAG = '16MB'

/** The configuration of one HAProxy, 2.4 or newer (https://docs.haproxy.org/2.6/configuration.html). */
export function renderHaproxy(cluster: Cluster, member: BalancerMember): ConfigFile {
  const { config, run } = member.places
  const clock = CLOCKS[cluster.timing]
  const checks = `check inter ${clock.checkIntervalMs} fastinter ${clock.checkIntervalMs} fall 2 rise 1 check-ssl verify required ca-file ${config}/ca.crt`
  const names =
    cluster.resolver === undefined ? '' : ' resolvers names init-addr libc,none resolve-prefer ipv4'
  const databases = cluster.databases.map(
    ({ name, host, port, restPort }) =>
      // A certificate names its member, since HAProxy does not compare addresses.
      `    server ${name} ${hostPort(host, port)} verifyhost ${name} port ${restPort}${names}`,
  )
  const apis = cluster.apis.map(
    ({ name, host, port }) =>
      `    server ${name} ${hostPort(host, port)} ssl verify required ca-file ${config}/ca.crt verifyhost ${name} check${names}`,
  )
  const text = `# HAProxy: leads writes to the leader, reads to the standbys, and requests to the APIs that are ready.
global
    log stdout format raw local0 notice
    stats socket ${run}/haproxy.sock mode 600 level admin
    ssl-default-bind-options ssl-min-ver TLSv1.2
    ssl-default-server-options ssl-min-ver TLSv1.2
    # At its own restart, connections that are open get this long.
    hard-stop-after 30s
${cluster.resolver === undefined ? '' : renderResolver(cluster.resolver)}
defaults
    log global
    mode tcp
    option dontlognull
    option log-health-checks
    retries 3
    timeout connect 2s
    timeout check ${clock.checkTimeoutMs}ms
    timeout queue 5s
    # A connection that listens for notices says nothing for hours.
    timeout client 12h
    timeout server 12h
    timeout client-fin 30s
    option clitcpka
    option srvtcpka
    maxconn 4000

# The leader, by its own word: a Patroni that hangs or has lost its place does not give it.
listen primary
    bind ${hostPort(member.listenHost, member.primaryPort)}
    option httpchk
    http-check send meth OPTIONS uri /primary
    http-check expect status 200
    default-server ${checks} on-marked-down shutdown-sessions
${databases.join('\n')}

# Standbys that run and are less than ${REPLICA_LAG} behind.
listen replicas
    bind ${hostPort(member.listenHost, member.replicasPort)}
    balance leastconn
    option httpchk
    http-check send meth OPTIONS uri /replica?lag=${REPLICA_LAG}
    http-check expect status 200
    default-server ${checks} on-marked-down shutdown-sessions
${databases.join('\n')}

# Says 200 as long as this process lives and there is a leader.
frontend health
    mode http
    bind ${hostPort(member.listenHost, member.healthPort)} ssl crt ${config}/tls.pem
    timeout client 5s
    monitor-uri /health
    acl without-leader nbsrv(primary) lt 1
    monitor fail if without-leader
${cluster.apis.length === 0 ? '' : renderApi(cluster, member, apis)}`
  return { name: 'haproxy.cfg', text, mode: 0o644 }
}

function renderApi(cluster: Cluster, member: BalancerMember, servers: readonly string[]): string {
  const { config } = member.places
  const clock = CLOCKS[cluster.timing]
  return `
# API and dashboard. public.pem is a certificate of the cluster's own authority: put one for your name in its place.
frontend api
    mode http
    bind ${hostPort(member.apiListenHost, member.apiPort)} ssl crt ${config}/public.pem alpn h2,http/1.1
    option forwardfor
    http-request set-header X-Forwarded-Proto https
    http-request set-header X-Forwarded-Host %[req.hdr(Host)]
    timeout client 330s
    timeout http-request 10s
    default_backend apis

# An API that is told to stop answers /readyz with 503 and goes on serving: it gets no new requests, and ends when the old ones have.
backend apis
    mode http
    balance leastconn
    option httpchk
    http-check send meth GET uri /readyz ver HTTP/1.1 hdr Host ${new URL(cluster.publicUrl).host}
    http-check expect status 200
    # Only what never reached a server is sent to another one: everything else may have been done.
    option redispatch 1
    retry-on conn-failure
    timeout server 330s
    timeout tunnel 12h
    default-server inter ${clock.checkIntervalMs} fastinter ${clock.checkIntervalMs} fall 2 rise 1
${servers.join('\n')}
`
}

function renderResolver(resolver: string): string {
  return `
resolvers names
    nameserver own ${resolver}
    resolve_retries 3
    timeout resolve 1s
    timeout retry 1s
    hold valid 1s
`
}
