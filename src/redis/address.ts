import { readFileSync } from 'node:fs'
import { invalidField, type NomalyError } from '../errors.ts'

/** Where one server listens. */
export interface RedisNode {
  readonly host: string
  readonly port: number
}

export interface RedisCredentials {
  readonly username?: string
  readonly password?: string
}

/** Paths of PEM files, and the name the server's certificate must carry. */
export interface RedisTls {
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
  readonly servername?: string
}

interface Common {
  readonly nodes: readonly RedisNode[]
  readonly credentials: RedisCredentials
  /** Absent where the connection is plain. */
  readonly tls: RedisTls | undefined
}

/** What `REDIS_URL` says. */
export type RedisAddress =
  | (Common & { readonly kind: 'single'; readonly database: number })
  | (Common & {
      readonly kind: 'sentinel'
      readonly master: string
      readonly database: number
      readonly sentinelCredentials: RedisCredentials
    })
  | (Common & { readonly kind: 'cluster' })

const FORM =
  /^(redis|rediss)(?:\+(sentinel|cluster))?:\/\/(?:([^@/?#]*)@)?([^/?#@]*)(\/[^?#]*)?(?:\?([^#]*))?$/
const PARAMETERS = new Set(['ca', 'cert', 'key', 'servername', 'sentinel-user', 'sentinel-password'])
const MISREAD = 'the user or password holds one of @ / ? #: write it percent-encoded'
const HINT =
  'Forms: redis://user:password@host:6379/0, rediss://… with TLS, redis+sentinel://user:password@h1:26379,h2:26379/master/0, redis+cluster://h1:6379,h2:6379.'

/**
 * Reads a Redis URL.
 * @throws NomalyError `invalid_input` that names what is wrong, and never shows the password.
 */
export function parseRedisUrl(url: string): RedisAddress {
  const match = FORM.exec(url)
  if (match === null) {
    if (/^rediss?(?:\+[^:]*)?:\/\/[^?#]*@[^?#]*[@/]/.test(url)) throw wrong(MISREAD)
    throw wrong('is not a Redis URL')
  }
  const [, scheme, topology, login, hosts, path = '', query] = match
  const nodes = readNodes(
    hosts!,
    topology === 'sentinel' ? 26_379 : 6379,
    login === undefined && url.includes('@'),
  )
  const parameters = readParameters(query ?? '')
  const tls = readTls(scheme === 'rediss', parameters)
  const common = { credentials: readLogin(login), tls }
  const parts = path.split('/').slice(1).map(decode)
  if (topology === 'sentinel') {
    const [master, database, ...more] = parts
    if (master === undefined || master === '')
      throw wrong('names no master: write its name, as the Sentinels know it, after the hosts')
    if (more.length > 0) throw wrong('has more in its path than the master and the number of the database')
    const sentinelCredentials = credentials(
      parameters.get('sentinel-user'),
      parameters.get('sentinel-password'),
    )
    return {
      kind: 'sentinel',
      ...common,
      nodes,
      master,
      database: readDatabase(database),
      sentinelCredentials,
    }
  }
  if (parameters.has('sentinel-user') || parameters.has('sentinel-password'))
    throw wrong('gives credentials of Sentinels but is not redis+sentinel://')
  if (parts.length > 1) throw wrong('has more in its path than the number of the database')
  const database = readDatabase(parts[0])
  if (topology === 'cluster') {
    if (database !== 0) throw wrong('a Redis Cluster has no database but 0')
    return { kind: 'cluster', ...common, nodes }
  }
  if (nodes.length > 1)
    throw wrong('names several hosts, which only redis+sentinel:// and redis+cluster:// may')
  return { kind: 'single', ...common, nodes, database }
}

/** The address without user and password, for logs. */
export function describeRedis(address: RedisAddress): string {
  const hosts = address.nodes.map(({ host, port }) => `${host.includes(':') ? `[${host}]` : host}:${port}`)
  const name = address.kind === 'sentinel' ? ` (master ${address.master} of the Sentinels)` : ''
  return `${hosts.join(',')}${name}${address.kind === 'cluster' ? ' (cluster)' : ''}`
}

/**
 * The TLS options of one client, made anew for each: drivers change what they are given. Files are read anew too, so that renewed certificates
 * serve from the next connection on.
 * @throws NomalyError `invalid_input` that names the file that cannot be read.
 */
export function tlsOptions(tls: RedisTls | undefined): Record<string, unknown> {
  if (tls === undefined) return {}
  const files = (['ca', 'cert', 'key'] as const).flatMap((name) => {
    const path = tls[name]
    return path === undefined ? [] : [[name, readPem(name, path)]]
  })
  return {
    tls: true,
    ...Object.fromEntries(files),
    ...(tls.servername === undefined ? {} : { servername: tls.servername }),
  }
}

function readPem(name: string, path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw wrong(`the file of its ${name} cannot be read: ${path} (${(error as NodeJS.ErrnoException).code})`)
  }
}

function readParameters(query: string): URLSearchParams {
  const parameters = new URLSearchParams(query)
  for (const name of parameters.keys())
    if (!PARAMETERS.has(name))
      throw wrong(`has the unknown parameter "${name}"; known are ${[...PARAMETERS].join(', ')}`)
  return parameters
}

function readTls(isSecure: boolean, parameters: URLSearchParams): RedisTls | undefined {
  const given = (['ca', 'cert', 'key', 'servername'] as const).filter((name) => parameters.get(name))
  if (!isSecure) {
    if (given.length > 0) throw wrong(`gives ${given[0]} but is not TLS: write rediss instead of redis`)
    return undefined
  }
  if (given.includes('cert') !== given.includes('key'))
    throw wrong('gives only one of cert and key, and a client certificate needs both')
  return Object.fromEntries(given.map((name) => [name, parameters.get(name)!]))
}

function readLogin(login: string | undefined): RedisCredentials {
  if (login === undefined || login === '') return {}
  const colon = login.indexOf(':')
  // `redis://password@host` would be a user without a password: refused by every server, and often a slip.
  if (colon === -1)
    throw wrong('has a user but no password: write user:password@, or :password@ for the default user')
  return credentials(decode(login.slice(0, colon)), decode(login.slice(colon + 1)))
}

function credentials(
  username: string | null | undefined,
  password: string | null | undefined,
): RedisCredentials {
  return { ...(username ? { username } : {}), ...(password ? { password } : {}) }
}

function readNodes(hosts: string, defaultPort: number, mayBeLogin: boolean): RedisNode[] {
  if (hosts === '') throw wrong('names no host')
  return hosts.split(',').map((text) => {
    const match = /^(\[[0-9a-fA-F:.]+\]|[^:[\]\s]+)(?::(\d+))?$/.exec(text)
    // What looks like a host may be half a password, which is not shown.
    if (match === null) throw wrong(mayBeLogin ? MISREAD : `"${text}" is not a host, or a host with a port`)
    const port = match[2] === undefined ? defaultPort : Number(match[2])
    if (port < 1 || port > 65_535) throw wrong(`"${text}" has a port that is not from 1 to 65535`)
    return { host: match[1]!.replace(/^\[|\]$/g, ''), port }
  })
}

function readDatabase(text: string | undefined): number {
  if (text === undefined || text === '') return 0
  if (!/^\d{1,5}$/.test(text)) throw wrong(`"${text}" is not the number of a database`)
  return Number(text)
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw wrong('has a % that is not followed by two hexadecimal digits: a literal % is written %25')
  }
}

function wrong(reason: string): NomalyError {
  return invalidField('REDIS_URL', reason, HINT)
}
