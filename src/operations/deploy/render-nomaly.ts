import {
  ADMIN_LOGIN,
  APPLICATION_LOGIN,
  type BalancerMember,
  type Cluster,
  type ClusterSecrets,
  type ConfigFile,
  DATABASE_NAME,
  hostPort,
  type Member,
  PATRONI_USER,
  type Places,
} from './cluster.ts'
import { sentinelUrl } from './render-redis.ts'

/** After SIGTERM: long enough for every balancer to have looked twice, and sent its last request. */
const DRAIN_DELAY_MS = 5_000

/** A process of Nomaly: an API, or a worker. */
export interface NomalyProcess {
  readonly places: Places
  /** Where it listens; a worker does not. */
  readonly api?: Member
  /** The way to the leader that it takes. */
  readonly balancer: BalancerMember
  readonly pooler: Member | undefined
}

/** The environment of one API or worker, and the files of the secrets that it names. */
export function renderNomaly(
  cluster: Cluster,
  secrets: ClusterSecrets,
  { places, api, balancer, pooler }: NomalyProcess,
): ConfigFile[] {
  const urls = addressesOf(cluster, secrets, `${places.config}/ca.crt`, balancer, pooler)
  const files = { ...(api === undefined ? {} : { 'admin-database-url': urls.admin }), ...urls.files }
  return environmentFiles(places, api === undefined ? [] : listening(cluster, api), files)
}

/** The environment of an operator's commands: every address that there is, with the logins that may change something. */
export function renderOperator(
  cluster: Cluster,
  secrets: ClusterSecrets,
  { places, balancer }: Pick<NomalyProcess, 'places' | 'balancer'>,
): ConfigFile[] {
  const authorityFile = `${places.config}/ca.crt`
  const { admin, files } = addressesOf(cluster, secrets, authorityFile, balancer, undefined)
  const all = {
    ...files,
    'admin-database-url': admin,
    'nomaly-patroni-urls': patroniUrls(cluster, secrets, authorityFile),
  }
  return environmentFiles(places, [['NOMALY_URL', cluster.publicUrl]], all)
}

/** `NOMALY_PATRONI_URLS`, for the operator's commands. Carries a password: never log it. */
export function patroniUrls(cluster: Cluster, secrets: ClusterSecrets, authorityFile: string): string {
  const hosts = cluster.databases.map(({ host, restPort }) => hostPort(host, restPort)).join(',')
  const query = new URLSearchParams({ ca: authorityFile }).toString()
  return `https://${PATRONI_USER}:${secrets.patroni}@${hosts}?${query}`
}

function environmentFiles(
  places: Places,
  settings: readonly [name: string, value: string][],
  secretFiles: Readonly<Record<string, string>>,
): ConfigFile[] {
  const all: [name: string, value: string][] = [
    ['NOMALY_PROFILE', 'production'],
    ['NOMALY_DATA_DIR', places.data],
    ['NODE_EXTRA_CA_CERTS', `${places.config}/ca.crt`],
    ['NODE_ENV', 'production'],
    ...settings,
    // ADMIN_DATABASE_URL_FILE=…/admin-database-url, and so on.
    ...Object.keys(secretFiles).map((name): [string, string] => [
      `${name.replaceAll('-', '_').toUpperCase()}_FILE`,
      `${places.config}/${name}`,
    ]),
  ]
  const title =
    '# Settings of Nomaly: `nomaly config reference` explains them. What is secret stands in the files they name.'
  return [
    {
      name: 'nomaly.env',
      text: [title, ...all.map(([name, value]) => `${name}=${value}`), ''].join('\n'),
      mode: 0o644,
    },
    ...Object.entries(secretFiles).map(([name, url]): ConfigFile => ({
      name,
      text: `${url}\n`,
      mode: 0o600,
    })),
  ]
}

/** A URL of PostgreSQL for a login, over TLS that trusts the cluster's authority alone. Carries the password: never log it. */
export function databaseUrl(
  place: { readonly host: string; readonly port: number },
  login: string,
  password: string,
  authorityFile: string,
): string {
  const query = new URLSearchParams({ sslmode: 'verify-full', sslrootcert: authorityFile }).toString()
  return `postgresql://${login}:${password}@${hostPort(place.host, place.port)}/${DATABASE_NAME}?${query}`
}

function listening(cluster: Cluster, api: Member): [string, string][] {
  const proxies = cluster.balancers.map(({ host }) => host)
  return [
    ['NOMALY_HOST', api.listenHost],
    ['NOMALY_PORT', String(api.port)],
    ['NOMALY_PUBLIC_URL', cluster.publicUrl],
    ['NOMALY_TRUSTED_PROXIES', [...new Set(cluster.proxyAddresses ?? proxies)].join(',')],
    ['NOMALY_TLS_CERT_FILE', `${api.places.config}/tls.crt`],
    ['NOMALY_TLS_KEY_FILE', `${api.places.config}/tls.key`],
    ['NOMALY_DRAIN_DELAY_MS', String(DRAIN_DELAY_MS)],
  ]
}

function addressesOf(
  cluster: Cluster,
  secrets: ClusterSecrets,
  authorityFile: string,
  balancer: BalancerMember,
  pooler: Member | undefined,
): { readonly admin: string; readonly files: Record<string, string> } {
  const leader = { host: balancer.host, port: balancer.primaryPort }
  const urlOf = (place: { readonly host: string; readonly port: number }): string =>
    databaseUrl(place, APPLICATION_LOGIN, secrets.application, authorityFile)
  const direct = urlOf(leader)
  return {
    admin: databaseUrl(leader, ADMIN_LOGIN, secrets.admin, authorityFile),
    files: {
      'database-url': pooler === undefined ? direct : urlOf(pooler),
      ...(pooler === undefined ? {} : { 'direct-database-url': direct }),
      // One by one, since a reader asks each how far it is; whichever leads is left out by itself.
      'database-replica-urls': cluster.databases.map(urlOf).join(' '),
      ...(cluster.sentinels.length === 0
        ? {}
        : { 'redis-url': sentinelUrl(cluster, secrets, authorityFile) }),
    },
  }
}
