import { randomBytes } from 'node:crypto'
import { scramVerifier } from '../../database/scram-verifier.ts'
import { issueCertificate, type KeyPair } from './authority.ts'
import type { Cluster, ClusterSecrets, ConfigFile, Member } from './cluster.ts'
import { renderEtcd } from './render-etcd.ts'
import { type NomalyProcess, renderNomaly, renderOperator } from './render-nomaly.ts'
import { renderPgbouncer } from './render-pgbouncer.ts'
import { renderRedis, renderSentinel } from './render-redis.ts'
import { renderHaproxy } from './render-haproxy.ts'
import { renderPatroni, renderPostBootstrap } from './render-patroni.ts'

/** The configuration folder of every member, by its name. */
export type MemberFiles = ReadonlyMap<string, readonly ConfigFile[]>

/** What the balancer shows to the outside; an operator may put another one in its place. */
export const OPEN_CERTIFICATE = 'public.pem'

type Named = Pick<Member, 'name'> & { readonly host?: string }

/** Renders what every member of a cluster reads: configuration, a certificate of its own, and the authority's. */
export async function renderMembers(
  cluster: Cluster,
  secrets: ClusterSecrets,
  authority: KeyPair,
  progress: (done: number) => void = () => {},
): Promise<MemberFiles> {
  const files = new Map<string, readonly ConfigFile[]>()
  const add = async (
    member: Named,
    configuration: readonly ConfigFile[],
    certificate: { readonly hosts?: readonly string[]; readonly isClient?: boolean } = {},
  ): Promise<void> => {
    const { name, host } = member
    const { hosts = [], isClient = false } = certificate
    const request = { name, hosts: [...(host === undefined ? [] : [host]), ...hosts], isClient }
    files.set(name, [...configuration, ...identity(await issueCertificate(authority, request), authority)])
    progress(files.size)
  }
  // Whoever connects by way of a balancer or a pooler looks for that one's name in the certificate of the database.
  const ways = [...cluster.balancers, ...cluster.poolers].map(({ host }) => host)
  const verifiers = {
    admin: scramVerifier(secrets.admin, randomBytes(16)),
    application: scramVerifier(secrets.application, randomBytes(16)),
  }
  for (const member of cluster.etcd)
    await add(member, [renderEtcd(cluster, member)], { hosts: LOCAL, isClient: true })
  for (const member of cluster.databases)
    await add(member, [renderPatroni(cluster, member, secrets), renderPostBootstrap(cluster, verifiers)], {
      hosts: [...ways, ...LOCAL],
      isClient: true,
    })
  for (const member of cluster.balancers) {
    const { hostname } = new URL(cluster.publicUrl)
    const open = await issueCertificate(authority, { name: hostname, hosts: LOCAL, isClient: false })
    const text = open.certificate + open.key
    await add(member, [renderHaproxy(cluster, member), { name: OPEN_CERTIFICATE, text, mode: 0o600 }], {
      hosts: LOCAL,
    })
  }
  for (const [index, member] of cluster.poolers.entries()) {
    const configuration = renderPgbouncer(member, nearest(cluster.balancers, index), verifiers.application)
    await add(member, configuration, { hosts: LOCAL })
  }
  for (const member of cluster.redis) {
    const password: ConfigFile = { name: 'password', text: `${secrets.redis}\n`, mode: 0o600 }
    await add(member, [renderRedis(cluster, member, secrets), password], { hosts: LOCAL })
  }
  for (const member of cluster.sentinels) {
    const password: ConfigFile = { name: 'password', text: `${secrets.sentinel}\n`, mode: 0o600 }
    await add(member, [renderSentinel(cluster, member, secrets), password], { hosts: LOCAL })
  }
  const pathOf = (index: number): Pick<NomalyProcess, 'balancer' | 'pooler'> => ({
    balancer: nearest(cluster.balancers, index),
    pooler: cluster.poolers.length === 0 ? undefined : nearest(cluster.poolers, index),
  })
  for (const [index, api] of cluster.apis.entries()) {
    const configuration = renderNomaly(cluster, secrets, { places: api.places, api, ...pathOf(index) })
    await add(api, configuration, { hosts: LOCAL })
  }
  const addPlain = (name: string, configuration: readonly ConfigFile[]): void => {
    files.set(name, [...configuration, { name: 'ca.crt', text: authority.certificate, mode: 0o644 }])
  }
  for (const [index, { name, places }] of cluster.workers.entries())
    addPlain(name, renderNomaly(cluster, secrets, { places, ...pathOf(index) }))
  for (const [index, { name, places }] of cluster.operators.entries())
    addPlain(name, renderOperator(cluster, secrets, { places, ...pathOf(index) }))
  return files
}

/** That of the same machine, where there is one for each; else the only one. */
function nearest<T>(members: readonly T[], index: number): T {
  return members[index % members.length]!
}

const LOCAL = ['localhost', '127.0.0.1']

function identity(pair: KeyPair, authority: KeyPair): ConfigFile[] {
  return [
    { name: 'ca.crt', text: authority.certificate, mode: 0o644 },
    { name: 'tls.crt', text: pair.certificate, mode: 0o644 },
    { name: 'tls.key', text: pair.key, mode: 0o600 },
    { name: 'tls.pem', text: pair.certificate + pair.key, mode: 0o600 },
  ]
}
