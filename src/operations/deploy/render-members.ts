import { randomBytes } from 'node:crypto'
import { scramVerifier } from '../../database/scram-verifier.ts'
import { issueCertificate, type KeyPair } from './authority.ts'
import type { Cluster, ClusterSecrets, ConfigFile, Member } from './cluster.ts'
import { renderEtcd } from './render-etcd.ts'
import { renderHaproxy } from './render-haproxy.ts'
import { renderPatroni, renderPostBootstrap } from './render-patroni.ts'

/** The configuration folder of every member, by its name. */
export type MemberFiles = ReadonlyMap<string, readonly ConfigFile[]>

type Named = Pick<Member, 'name'> & { readonly host?: string }

/** Renders what every member of a cluster reads: configuration, a certificate of its own, and the authority's. */
export async function renderMembers(
  cluster: Cluster,
  secrets: ClusterSecrets,
  authority: KeyPair,
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
  }
  // Whoever connects by way of a balancer or a pooler looks for that one's name in the certificate of the database.
  const ways = [...cluster.balancers, ...cluster.poolers].map(({ host }) => host)
  const verifiers = {
    admin: scramVerifier(secrets.admin, randomBytes(16)),
    application: scramVerifier(secrets.application, randomBytes(16)),
  }
  for (const member of cluster.etcd) await add(member, [renderEtcd(cluster, member)], { isClient: true })
  for (const member of cluster.databases)
    await add(member, [renderPatroni(cluster, member, secrets), renderPostBootstrap(cluster, verifiers)], {
      hosts: [...ways, ...LOCAL],
      isClient: true,
    })
  for (const member of cluster.balancers) {
    const { hostname } = new URL(cluster.publicUrl)
    const open = await issueCertificate(authority, { name: hostname, hosts: LOCAL, isClient: false })
    const text = open.certificate + open.key
    await add(member, [renderHaproxy(cluster, member), { name: 'public.pem', text, mode: 0o600 }], {
      hosts: LOCAL,
    })
  }
  return files
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
