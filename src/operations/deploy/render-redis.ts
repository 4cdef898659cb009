import { createHash } from 'node:crypto'
import {
  type Cluster,
  type ClusterSecrets,
  type ConfigFile,
  type Member,
  REDIS_MASTER,
  REDIS_USER,
} from './cluster.ts'
import { CLOCKS } from './preset.ts'

/** More than the product's own Redis holds: what it keeps expires or can be made anew. */
const MAX_MEMORY = '256mb'

/** The configuration that one Redis 7 begins with; Sentinel rewrites it, so it stands among the data. */
export function renderRedis(cluster: Cluster, member: Member, secrets: ClusterSecrets): ConfigFile {
  const [master] = cluster.redis
  const isMaster = master!.name === member.name
  const text = `# Redis: what makes Nomaly quicker. PostgreSQL has the truth, so nothing is kept on disk.
# Sentinel writes into this file who the master is. To change something later, change it here among the data, or with CONFIG SET and CONFIG REWRITE.
${renderListening(member)}
dir ${member.places.data}
daemonize no
save ""
appendonly no

maxmemory ${MAX_MEMORY}
# Never one of allkeys-…: what has no expiry is meant to stay.
maxmemory-policy volatile-lru

# A master that was cut off from its replicas stops taking writes.
min-replicas-to-write 1
min-replicas-max-lag 10
replica-announce-ip ${member.host}
replica-announce-port ${member.port}
masterauth ${secrets.redis}
${isMaster ? '' : `replicaof ${master!.host} ${master!.port}\n`}
# Passwords by their SHA-256. The first is that of replicas, Sentinels and operators, the second that of Nomaly.
user default on #${sha256(secrets.redis)} ~* &* +@all
user ${REDIS_USER} on #${sha256(secrets.redisApplication)} ~nomaly:* &nomaly:* +@read +@write +@scripting +@pubsub +@connection +info +role
`
  return { name: 'redis.conf', text, mode: 0o600, isSeed: true }
}

/** The configuration that one Sentinel begins with, and rewrites with what it learns. */
export function renderSentinel(cluster: Cluster, member: Member, secrets: ClusterSecrets): ConfigFile {
  const [master] = cluster.redis
  const clock = CLOCKS[cluster.timing]
  const majority = Math.floor(cluster.sentinels.length / 2) + 1
  const text = `# Redis Sentinel: agrees with the others on which Redis is the master. It writes what it learns into this file.
${renderListening(member)}
dir ${member.places.data}
daemonize no
requirepass ${secrets.sentinel}
sentinel sentinel-pass ${secrets.sentinel}
sentinel resolve-hostnames yes
sentinel announce-hostnames yes
sentinel announce-ip ${member.host}
sentinel announce-port ${member.port}

sentinel monitor ${REDIS_MASTER} ${master!.host} ${master!.port} ${majority}
sentinel auth-pass ${REDIS_MASTER} ${secrets.redis}
sentinel down-after-milliseconds ${REDIS_MASTER} ${clock.redisDownAfterMs}
sentinel failover-timeout ${REDIS_MASTER} ${clock.redisFailoverTimeoutMs}
sentinel parallel-syncs ${REDIS_MASTER} 1
`
  return { name: 'sentinel.conf', text, mode: 0o600, isSeed: true }
}

/** The address by which API and workers find the master. Carries passwords: never log it. */
export function sentinelUrl(cluster: Cluster, secrets: ClusterSecrets, authorityFile: string): string {
  const hosts = cluster.sentinels.map(({ host, port }) => `${host}:${port}`).join(',')
  const parameters = new URLSearchParams({
    'sentinel-user': 'default',
    'sentinel-password': secrets.sentinel,
    ca: authorityFile,
  })
  return `rediss+sentinel://${REDIS_USER}:${secrets.redisApplication}@${hosts}/${REDIS_MASTER}/0?${parameters.toString()}`
}

function renderListening({ listenHost, port, places }: Member): string {
  return `bind ${listenHost}
port 0
tls-port ${port}
tls-cert-file ${places.config}/tls.crt
tls-key-file ${places.config}/tls.key
tls-ca-cert-file ${places.config}/ca.crt
tls-auth-clients no
tls-replication yes`
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
