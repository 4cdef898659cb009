import { readFileSync } from 'node:fs'
import { invalidField, type NomalyError } from '../../errors.ts'

/** Where the REST APIs of a Patroni cluster listen, and how to be let in. */
export interface PatroniAddress {
  /** `https://host:8008`, one for each member that was named. */
  readonly origins: readonly string[]
  /** Value of the header `Authorization`; `undefined` where no user was given. Never log it. */
  readonly authorization: string | undefined
  readonly tls: PatroniTls
}

/** Paths of PEM files, and the name the certificates must carry. */
export interface PatroniTls {
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
  readonly servername?: string
}

const FORM = /^(?:(https?):\/\/)?(?:([^@/?#]*)@)?([^/?#@]+)\/?(?:\?([^#]*))?$/
const HOST = /^(?:\[[0-9a-fA-F:.]+\]|[^:[\]\s]+)(?::(\d{1,5}))?$/
const PARAMETERS = new Set(['ca', 'cert', 'key', 'servername'])
const HINT =
  'Form: https://user:password@host1:8008,host2:8008?ca=/path/ca.pem; user and password are percent-encoded.'

/**
 * Reads `NOMALY_PATRONI_URLS`: hosts, separated by commas or spaces. Scheme, login and parameters hold for all of them, wherever they stand first.
 * @throws NomalyError `invalid_input` that never shows the password.
 */
export function parsePatroniUrls(text: string): PatroniAddress {
  const parts = text
    .trim()
    .split(/[\s,]+/)
    .map((part) => {
      const match = FORM.exec(part)
      if (match === null) throw wrong('is not the address of a Patroni REST API')
      return { scheme: match[1], login: match[2], host: match[3]!, query: match[4] }
    })
  const scheme = parts[0]!.scheme
  if (scheme === undefined || parts.some((part) => part.scheme !== undefined && part.scheme !== scheme))
    throw wrong('must begin with http:// or https://, and be one of them throughout')
  const origins = parts.map(({ host }) => {
    const found = HOST.exec(host)
    if (found === null || Number(found[1] ?? 1) > 65_535) throw wrong('names a host that cannot be read')
    return `${scheme}://${found[1] === undefined ? `${host}:8008` : host}`
  })
  const tls: Record<string, string> = {}
  for (const [name, value] of new URLSearchParams(parts.find(({ query }) => query !== undefined)?.query)) {
    if (!PARAMETERS.has(name)) throw wrong(`has a parameter "${name}", which there is not`)
    if (scheme === 'http') throw wrong(`has the parameter "${name}" but is not https://`)
    tls[name] = value
  }
  const login = parts.find((part) => part.login !== undefined)?.login
  return { origins, authorization: authorizationOf(login), tls }
}

/** The TLS options of one request; files are read anew, so that renewed certificates serve. @throws NomalyError `invalid_input`. */
export function readTls({ servername, ...files }: PatroniTls): Record<string, string> {
  const read: Record<string, string> = servername === undefined ? {} : { servername }
  for (const [name, path] of Object.entries(files)) {
    try {
      read[name] = readFileSync(path, 'utf8')
    } catch (error) {
      throw wrong(
        `names the file ${path} (${name}), which cannot be read: ${(error as NodeJS.ErrnoException).code}`,
      )
    }
  }
  return read
}

function authorizationOf(login: string | undefined): string | undefined {
  if (login === undefined) return undefined
  let decoded: string
  try {
    const [user, ...password] = login.split(':')
    decoded = `${decodeURIComponent(user!)}:${decodeURIComponent(password.join(':'))}`
  } catch {
    throw wrong('has a user or password that is not percent-encoded')
  }
  return `Basic ${Buffer.from(decoded).toString('base64')}`
}

function wrong(reason: string): NomalyError {
  return invalidField('NOMALY_PATRONI_URLS', reason, HINT)
}
