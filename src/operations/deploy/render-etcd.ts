import { type Cluster, type ConfigFile, type EtcdMember, hostPort, quoted } from './cluster.ts'

/** The configuration of one etcd, version 3.4 or 3.5 (https://etcd.io/docs/v3.4/op-guide/configuration/). */
export function renderEtcd(cluster: Cluster, member: EtcdMember): ConfigFile {
  const { config, data } = member.places
  const url = (host: string, port: number): string => quoted(`https://${hostPort(host, port)}`)
  const all = cluster.etcd.map(({ name, host, peerPort }) => `${name}=https://${hostPort(host, peerPort)}`)
  const transport = [
    `  cert-file: ${quoted(`${config}/tls.crt`)}`,
    `  key-file: ${quoted(`${config}/tls.key`)}`,
    `  trusted-ca-file: ${quoted(`${config}/ca.crt`)}`,
    '  client-cert-auth: true',
  ].join('\n')
  const text = `# etcd: who of the databases leads. It answers only to those who show a client certificate of this cluster's authority.
name: ${quoted(member.name)}
data-dir: ${quoted(data)}

listen-client-urls: ${url(member.listenHost, member.port)}
advertise-client-urls: ${url(member.host, member.port)}
listen-peer-urls: ${url(member.listenHost, member.peerPort)}
initial-advertise-peer-urls: ${url(member.host, member.peerPort)}

initial-cluster: ${quoted(all.join(','))}
initial-cluster-token: ${quoted(cluster.name)}
initial-cluster-state: new

client-transport-security:
${transport}
peer-transport-security:
${transport}

# Milliseconds. Enough for machines in one region.
heartbeat-interval: 100
election-timeout: 1000

# Patroni writes every few seconds: without this the history of an hour's heartbeats would be kept for good.
auto-compaction-mode: periodic
auto-compaction-retention: "1h"
# What Patroni speaks: patroni.yml says why.
enable-v2: true
# For \`etcdctl\`; off unless it is said, where etcd 3.4 has a configuration file.
enable-grpc-gateway: true
logger: zap
log-level: warn
`
  return { name: 'etcd.yml', text, mode: 0o644 }
}
