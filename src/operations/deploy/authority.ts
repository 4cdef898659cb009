import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { NomalyError } from '../../errors.ts'

const run = promisify(execFile)

const AUTHORITY_DAYS = 3_650
/** What browsers and libraries still take: a little over two years. */
const CERTIFICATE_DAYS = 825
const OPENSSL_TIMEOUT_MS = 30_000

/** A certificate and its private key, both PEM. */
export interface KeyPair {
  readonly certificate: string
  readonly key: string
}

/** What a certificate is for. */
export interface CertificateRequest {
  /** Of the member: the common name, and the first of its names. */
  readonly name: string
  /** Further names and addresses it is reached by. */
  readonly hosts: readonly string[]
  /** Whether it also opens doors, as a client's: etcd lets in whoever shows one. */
  readonly isClient: boolean
}

/**
 * Makes the authority that the parts of a cluster trust, with `openssl`; good for ten years.
 * @throws NomalyError `unavailable` where there is no openssl.
 */
export async function makeAuthority(clusterName: string): Promise<KeyPair> {
  return withFolder(async (folder) => {
    const configuration = `[req]
distinguished_name = name
x509_extensions = extensions
prompt = no
[name]
CN = ${clusterName} cluster authority
[extensions]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
`
    await writeFile(join(folder, 'ca.cnf'), configuration)
    await openssl(folder, [
      ...'req -x509 -config ca.cnf -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -sha256'.split(
        ' ',
      ),
      ...`-days ${AUTHORITY_DAYS} -set_serial ${serial()} -keyout ca.key -out ca.crt`.split(' '),
    ])
    return readPair(folder, 'ca')
  })
}

/** Issues a certificate with a fresh key; good for 825 days. */
export async function issueCertificate(authority: KeyPair, request: CertificateRequest): Promise<KeyPair> {
  const { name, hosts, isClient } = request
  const names = [...new Set([name, ...hosts])].map((host) => `${isIP(host) === 0 ? 'DNS' : 'IP'}:${host}`)
  return withFolder(async (folder) => {
    const configuration = `[req]
distinguished_name = name
prompt = no
[name]
CN = ${name}
[extensions]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = ${isClient ? 'serverAuth, clientAuth' : 'serverAuth'}
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = ${names.join(', ')}
`
    await Promise.all([
      writeFile(join(folder, 'leaf.cnf'), configuration),
      writeFile(join(folder, 'ca.crt'), authority.certificate),
      writeFile(join(folder, 'ca.key'), authority.key, { mode: 0o600 }),
    ])
    await openssl(folder, [
      ...'req -new -config leaf.cnf -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -sha256'.split(
        ' ',
      ),
      ...'-keyout leaf.key -out leaf.csr'.split(' '),
    ])
    await openssl(folder, [
      ...'x509 -req -in leaf.csr -CA ca.crt -CAkey ca.key -sha256 -extfile leaf.cnf -extensions extensions'.split(
        ' ',
      ),
      ...`-days ${CERTIFICATE_DAYS} -set_serial ${serial()} -out leaf.crt`.split(' '),
    ])
    return readPair(folder, 'leaf')
  })
}

async function readPair(folder: string, name: string): Promise<KeyPair> {
  const [certificate, key] = await Promise.all([
    readFile(join(folder, `${name}.crt`), 'utf8'),
    readFile(join(folder, `${name}.key`), 'utf8'),
  ])
  return { certificate, key }
}

/** 20 bytes at most and positive, as RFC 5280 (4.1.2.2) wants it. */
function serial(): string {
  return `0x01${randomBytes(18).toString('hex')}`
}

/** Keys pass through a folder that only this user can read. */
async function withFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'nomaly-authority-'))
  try {
    return await work(folder)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function openssl(folder: string, args: readonly string[]): Promise<void> {
  try {
    await run('openssl', args, { cwd: folder, timeout: OPENSSL_TIMEOUT_MS })
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === 'ENOENT'
    throw new NomalyError(
      'unavailable',
      isMissing ? 'The program `openssl` is not installed.' : 'openssl could not make a certificate.',
      {
        hint: isMissing
          ? 'Install it (Debian: `apt-get install openssl`): the certificates of the cluster are made with it.'
          : 'Its version should be 1.1.1 or newer: look at `openssl version`.',
        cause: error,
      },
    )
  }
}
