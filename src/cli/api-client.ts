import { randomUUID } from 'node:crypto'
import { HTTP_STATUS, NomalyError, type ErrorCode, type FieldProblem } from '../errors.ts'
import { retrying } from './retry.ts'

type Query = Readonly<Record<string, string | number | undefined>>

export interface RequestOptions {
  readonly query?: Query
  /** Sent as JSON. */
  readonly body?: unknown
  /** Sent as it is, with its media type. */
  readonly data?: { readonly bytes: Uint8Array; readonly type: string }
  readonly headers?: Readonly<Record<string, string>>
  readonly timeoutMs?: number
  readonly signal?: AbortSignal | undefined
}

/** Something the server tells; the id leads to the whole. */
export interface ServerEvent {
  readonly type: string
  readonly data: Readonly<Record<string, unknown>>
}

const TIMEOUT_MS = 30_000
const PAGE = 200
const ATTEMPTS = 4
/** Longer ones are told to whoever waits, who may have better things to do. */
const LONGEST_WAIT_SECONDS = 60
/** What may be answered by standbys where nothing is said. */
const METRICS = /\/(?:points|buckets|band|export|query)$/
const BROKEN = new Set(['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET'])

/** Talks to the HTTP API of one server. What fails is thrown as `NomalyError` with the server's words and hint. */
export class ApiClient {
  readonly url: string
  readonly #apiKey: string
  /** Where its writes stand: metrics that it reads afterwards show them, whichever server answers. Everything else is the latest anyway. */
  #readAfter: string | undefined

  constructor(url: string, apiKey: string) {
    this.url = url.replace(/\/+$/, '')
    this.#apiKey = apiKey
  }

  get<T>(path: string, query?: Query, signal?: AbortSignal): Promise<T> {
    return patiently(isHeldBack, signal, () =>
      this.request('GET', path, { ...(query === undefined ? {} : { query }), signal }),
    )
  }

  /** Has something done once: where the answer did not come, it is asked for again under the same `Idempotency-Key`. */
  post<T>(path: string, body?: unknown): Promise<T> {
    const headers = { 'idempotency-key': randomUUID() }
    return patiently(isRepeatable, undefined, () =>
      this.request('POST', path, { headers, ...(body === undefined ? {} : { body }) }),
    )
  }

  put<T>(path: string, body: unknown): Promise<T> {
    return patiently(isHeldBack, undefined, () => this.request('PUT', path, { body }))
  }

  delete<T>(path: string): Promise<T> {
    return patiently(isHeldBack, undefined, () => this.request('DELETE', path))
  }

  /** One request; answers the JSON of the response, `undefined` where there is none. */
  async request<T>(method: string, path: string, options: RequestOptions = {}): Promise<T> {
    const response = await this.#fetch(method, path, options)
    const text = await this.#read(response)
    if (!response.ok) throw problemError(response, text)
    return (text === '' ? undefined : parseJson(text, this.url)) as T
  }

  /**
   * The bytes of a response as they come. Where the connection breaks before the end they end with `unavailable`: what came is not whole.
   */
  async download(path: string, query: Query, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    const response = await this.#fetch('GET', path, { query, signal, timeoutMs: 0 })
    if (!response.ok || response.body === null) throw problemError(response, await this.#read(response))
    return this.#whole(response.body)
  }

  async *#whole(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
    try {
      yield* body
    } catch (error) {
      if ((error as Error).name === 'AbortError') throw error
      throw new NomalyError('unavailable', `${this.url} broke off before all of it was sent.`, {
        hint: 'Try it again; the log of the server says what happened.',
        cause: error,
      })
    }
  }

  /** Items of a list, page after page, `limit` at most. */
  async list<T>(path: string, query: Query, limit: number): Promise<T[]> {
    const items: T[] = []
    let cursor: string | undefined
    while (items.length < limit) {
      const page = await this.get<{ items: T[]; nextCursor?: string | null }>(path, {
        ...query,
        limit: Math.min(PAGE, limit - items.length),
        cursor,
      })
      items.push(...page.items)
      // Short lists come whole, without a cursor.
      if (page.nextCursor === null || page.nextCursor === undefined || page.items.length === 0) break
      cursor = page.nextCursor
    }
    return items
  }

  /** Events as they happen (server-sent events, WHATWG HTML 9.2), until the connection or the signal ends it. */
  async *events(signal: AbortSignal): AsyncGenerator<ServerEvent> {
    const response = await this.#fetch('GET', '/v1/events', { signal, timeoutMs: 0 })
    if (!response.ok || response.body === null) throw problemError(response, await this.#read(response))
    const decoder = new TextDecoder()
    let text = ''
    for await (const bytes of response.body) {
      text += decoder.decode(bytes, { stream: true }).replaceAll('\r', '')
      let end: number
      while ((end = text.indexOf('\n\n')) >= 0) {
        const event = parseEvent(text.slice(0, end))
        text = text.slice(end + 2)
        if (event !== undefined) yield event
      }
    }
  }

  async #fetch(method: string, path: string, options: RequestOptions): Promise<Response> {
    const target = new URL(`${this.url}${path}`)
    for (const [name, value] of Object.entries(options.query ?? {})) {
      if (value !== undefined) target.searchParams.set(name, String(value))
    }
    const timeoutMs = options.timeoutMs ?? TIMEOUT_MS
    const signals = [options.signal, timeoutMs > 0 ? AbortSignal.timeout(timeoutMs) : undefined]
    const body =
      options.data?.bytes ?? (options.body === undefined ? undefined : JSON.stringify(options.body))
    const type = options.data?.type ?? (options.body === undefined ? undefined : 'application/json')
    try {
      const response = await fetch(target, {
        method,
        headers: {
          authorization: `Bearer ${this.#apiKey}`,
          accept: 'application/json, application/problem+json, text/event-stream',
          ...(type === undefined ? {} : { 'content-type': type }),
          ...(this.#readAfter === undefined || (method === 'GET' && !METRICS.test(path))
            ? {}
            : { 'nomaly-read-after': this.#readAfter }),
          ...options.headers,
        },
        ...(body === undefined ? {} : { body: body as NonNullable<RequestInit['body']> }),
        signal: AbortSignal.any(signals.filter((signal) => signal !== undefined)),
      })
      this.#readAfter = response.headers.get('nomaly-position') ?? this.#readAfter
      return response
    } catch (error) {
      throw connectionError(error, this.url, timeoutMs)
    }
  }

  async #read(response: Response): Promise<string> {
    try {
      return await response.text()
    } catch (error) {
      throw connectionError(error, this.url, TIMEOUT_MS)
    }
  }
}

function parseEvent(block: string): ServerEvent | undefined {
  let type = 'message'
  const data: string[] = []
  for (const line of block.split('\n')) {
    if (line.startsWith('event:')) type = line.slice(6).trim()
    else if (line.startsWith('data:')) data.push(line.slice(5).trim())
  }
  if (data.length === 0) return undefined
  try {
    return { type, data: JSON.parse(data.join('\n')) as Record<string, unknown> }
  } catch {
    return undefined
  }
}

function parseJson(text: string, url: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new NomalyError('unavailable', `${url} did not answer as Nomaly does.`, {
      hint: 'Check the URL: another program may listen there.',
      cause: error,
    })
  }
}

function connectionError(error: unknown, url: string, timeoutMs: number): unknown {
  const failure = error as Error & { cause?: { code?: string } }
  if (failure.name === 'AbortError') return error
  if (failure.name === 'TimeoutError') {
    return new NomalyError('timeout', `${url} did not answer within ${timeoutMs / 1000} s.`, {
      hint: 'See what it is doing with `nomaly status`.',
      cause: error,
    })
  }
  if (failure.cause?.code === 'ECONNREFUSED') {
    return new NomalyError('unavailable', `Nomaly is not running at ${url}.`, {
      hint: 'Start it with `nomaly start`, or name another server with --url or NOMALY_URL.',
      cause: error,
    })
  }
  return new NomalyError(
    'unavailable',
    `${url} cannot be reached (${failure.cause?.code ?? failure.message}).`,
    {
      hint: 'Check the URL and the network.',
      cause: error,
      // It was there a moment ago.
      ...(BROKEN.has(failure.cause?.code ?? '') ? { retryAfterSeconds: 0 } : {}),
    },
  )
}

interface Problem {
  readonly type?: string
  readonly title?: string
  readonly detail?: string
  readonly hint?: string
  readonly errors?: readonly FieldProblem[]
}

/** The error a problem document (RFC 9457) stands for. */
function problemError(response: Response, text: string): NomalyError {
  let problem: Problem = {}
  try {
    problem = JSON.parse(text) as Problem
  } catch {
    // Not from Nomaly: perhaps a proxy in between.
  }
  const retryAfter = Number(response.headers.get('retry-after') ?? Number.NaN)
  return new NomalyError(
    codeOf(problem.type, response.status),
    problem.detail ?? problem.title ?? `The server answered ${response.status} ${response.statusText}.`,
    {
      ...(problem.hint === undefined ? {} : { hint: problem.hint }),
      problems: problem.errors ?? [],
      ...(Number.isFinite(retryAfter) ? { retryAfterSeconds: retryAfter } : {}),
    },
  )
}

function codeOf(type: string | undefined, status: number): ErrorCode {
  const named = type?.split(/[/:#]/).at(-1)?.replaceAll('-', '_')
  if (named !== undefined && Object.hasOwn(HTTP_STATUS, named)) return named as ErrorCode
  const codes = Object.keys(HTTP_STATUS) as ErrorCode[]
  return (
    codes.find((code) => HTTP_STATUS[code] === status) ?? (status >= 500 ? 'unavailable' : 'invalid_input')
  )
}

/** Not done, and to be asked for again as soon as the server says. */
function isHeldBack({ code, retryAfterSeconds = Infinity }: NomalyError): boolean {
  return code === 'rate_limited' && retryAfterSeconds <= LONGEST_WAIT_SECONDS
}

/** Of a request with an `Idempotency-Key`: also where it may have been done. */
function isRepeatable(error: NomalyError): boolean {
  if (error.code === 'unknown_outcome' || error.code === 'timeout' || isHeldBack(error)) return true
  const { code, retryAfterSeconds = Infinity } = error
  return (
    (code === 'under_way' || code === 'overloaded' || code === 'unavailable') &&
    retryAfterSeconds <= LONGEST_WAIT_SECONDS
  )
}

function patiently<T>(
  mayPass: (error: NomalyError) => boolean,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  const never = new AbortController().signal
  return retrying(
    { attempts: ATTEMPTS, signal: signal ?? never, random: Math.random, onWait: () => {}, mayPass },
    work,
  )
}
