/** One server of a database URL. */
export interface DatabaseHost {
  /** `host:port`, for messages. */
  readonly name: string
  /** The whole URL, with this server alone. Carries the password: never log it. */
  readonly url: string
}

/** What a database URL says: which servers there are, and which of them will do. */
export interface DatabaseAddress {
  readonly hosts: readonly DatabaseHost[]
  /** `primary`: only one that takes writes; `any`: whichever answers. */
  readonly session: 'primary' | 'any'
}

/** Scheme, login, servers, and the rest. An @ in a password that was not encoded is the login's. */
const SHAPE = /^(postgres(?:ql)?:\/\/)(?:([^/?#]*)@)?([^@/?#]*)(.*)$/s
const DEFAULT_PORT = '5432'
const SESSIONS: Readonly<Record<string, DatabaseAddress['session']>> = {
  primary: 'primary',
  'read-write': 'primary',
  any: 'any',
}

/**
 * Reads `postgresql://user:password@h1:5432,h2:5433/database?target_session_attrs=primary`, with one server or several (PostgreSQL manual,
 * 34.1.1.2 Connection URIs).
 * @throws Error that says what is wrong, as the end of a sentence that begins with the name of the variable.
 */
export function parseDatabaseUrl(text: string): DatabaseAddress {
  const { scheme, login, servers, rest } = takeApart(text)
  const names = servers.split(',')
  const hosts = names.map((server): DatabaseHost => {
    const url = `${scheme}${login === undefined ? '' : `${login}@`}${server}${rest}`
    if ((names.length > 1 && !/^[^:]|^\[/.test(server)) || !URL.canParse(url))
      throw new Error(names.length === 1 ? 'is not a URL' : 'names a server that is not host:port')
    const { hostname, port } = new URL(url)
    return { name: `${hostname || 'localhost'}:${port || DEFAULT_PORT}`, url }
  })
  const wanted = new URL(hosts[0]!.url).searchParams.get('target_session_attrs') ?? 'primary'
  const session = SESSIONS[wanted]
  if (session === undefined)
    throw new Error(`has a target_session_attrs that is none of ${Object.keys(SESSIONS).join(', ')}`)
  return { hosts, session }
}

/** The same servers and database, for another login. Carries the password: never log it. */
export function urlForLogin(text: string, user: string, password: string): string {
  const { scheme, servers, rest } = takeApart(text)
  return `${scheme}${encodeURIComponent(user)}:${encodeURIComponent(password)}@${servers}${rest}`
}

/** The name of the login in a database URL; empty where there is none. */
export function loginOf(text: string): string {
  return decodeURIComponent(takeApart(text).login?.split(':')[0] ?? '')
}

/** The password in a database URL; `undefined` where there is none. */
export function passwordOf(text: string): string | undefined {
  const [, ...password] = takeApart(text).login?.split(':') ?? []
  return password.length === 0 ? undefined : decodeURIComponent(password.join(':'))
}

/** The name of the database in a database URL; that of the login where it names none (PostgreSQL manual, 34.1.2). */
export function databaseOf(text: string): string {
  const [, name] = /^\/([^?#]*)/.exec(takeApart(text).rest) ?? []
  return name === undefined || name === '' ? loginOf(text) : decodeURIComponent(name)
}

function takeApart(text: string): {
  scheme: string
  login: string | undefined
  servers: string
  rest: string
} {
  const match = SHAPE.exec(text)
  if (match === null) throw new Error('is not a URL that begins with postgresql://')
  const [, scheme, login, servers, rest] = match
  return { scheme: scheme!, login, servers: servers!, rest: rest! }
}
