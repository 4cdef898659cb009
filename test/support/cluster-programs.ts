import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { findProgram, installPackages, isThere, mayInstall } from './debian-packages.ts'

/** Programs of a cluster, and the package of Debian that has each. */
const PROGRAMS = {
  patroni: 'patroni',
  etcd: 'etcd-server',
  haproxy: 'haproxy',
  pgbouncer: 'pgbouncer',
  'redis-server': 'redis-server',
  'redis-sentinel': 'redis-sentinel',
} as const

export type ClusterProgram = keyof typeof PROGRAMS

/** What Patroni imports to talk to etcd over TLS, and its package only recommends. */
const OF_PATRONI = ['python3-etcd', 'python3-idna']

/** Paths of the programs, and the folder of PostgreSQL's own. */
export type ClusterPrograms = Readonly<Record<ClusterProgram, string>> & { readonly binaries: string }

/**
 * Finds the programs that a cluster needs; as root on Debian installs what is missing, without starting any service.
 * @throws Error that names what is missing and how to install it: without them these tests fail, they are not skipped.
 */
export async function findClusterPrograms(): Promise<ClusterPrograms> {
  let missing = await findMissing()
  if (missing.length > 0 && (await mayInstall())) {
    await installPackages([...missing, ...OF_PATRONI])
    missing = await findMissing()
  }
  if (missing.length > 0)
    throw new Error(
      `This test starts a cluster of its own and needs programs that are not installed. On Debian: \`apt-get install ${missing.join(' ')}\` (their services may stay off).`,
    )
  const found = await Promise.all(
    Object.keys(PROGRAMS).map(async (program) => [program, (await findProgram(program))!] as const),
  )
  return {
    ...(Object.fromEntries(found) as Record<ClusterProgram, string>),
    binaries: (await findBinaries())!,
  }
}

async function findMissing(): Promise<string[]> {
  const packages: string[] = []
  for (const [program, name] of Object.entries(PROGRAMS))
    if ((await findProgram(program)) === undefined) packages.push(name)
  if ((await findBinaries()) === undefined) packages.push('postgresql-15')
  return packages
}

/** The newest PostgreSQL of Debian's that has everything Patroni calls: the embedded one lacks pg_basebackup and pg_rewind. */
async function findBinaries(): Promise<string | undefined> {
  const versions = await readdir('/usr/lib/postgresql').catch(() => [])
  for (const version of versions.toSorted((a, b) => Number(b) - Number(a))) {
    const folder = join('/usr/lib/postgresql', version, 'bin')
    const programs = ['postgres', 'initdb', 'pg_basebackup', 'pg_rewind', 'pg_controldata', 'psql']
    const found = await Promise.all(programs.map((program) => isThere(join(folder, program))))
    if (found.every(Boolean)) return folder
  }
  return undefined
}
