import { NomalyError } from '../errors.ts'
import { type Evaluation, failedEvaluation, type FlagContext } from './evaluation.ts'
import type { FlagSource, FlagSourceListener } from './flag-source.ts'
import { type Ruleset, RulesetEvaluator } from './ruleset.ts'

export interface HttpFlagSourceOptions {
  /** Of a server of Nomaly. */
  readonly url: string
  /** A key of the tenant; the role `viewer` is enough. */
  readonly apiKey: string
  /** How long the server may hold a request that waits for a change, in whole seconds; 30 by default, 60 at most. */
  readonly waitSeconds?: number
  /** How long the server may be out of reach before flags count as stale; 5 s by default. */
  readonly staleAfterMs?: number
}

const WAIT_SECONDS = 30
const STALE_AFTER_MS = 5_000
const TIMEOUT_MS = 10_000
/** Between two requests that were answered at once without news: the server has no room for those who wait. */
const PAUSE_MS = 5_000
const MAX_RETRY_MS = 10_000

const NOT_READY = failedEvaluation('PROVIDER_NOT_READY', 'The flags were not fetched yet.')

interface Answer {
  readonly ruleset: Ruleset | undefined
  readonly etag: string | undefined
}

/**
 * The flags of a tenant, fetched from a server: once as a whole, and then with a request that the server answers when something changes. They
 * are evaluated here, so that an evaluation costs no request, and go on to be while the server is away.
 */
export class HttpFlagSource implements FlagSource {
  readonly #options: HttpFlagSourceOptions
  readonly #closing = new AbortController()
  #evaluator: RulesetEvaluator | undefined
  #flags: Ruleset['flags'] = {}
  #etag: string | undefined
  #loop: Promise<void> | undefined
  #failingSince: number | undefined
  #isStale = false

  constructor(options: HttpFlagSourceOptions) {
    this.#options = options
  }

  async start(listener: FlagSourceListener): Promise<void> {
    try {
      await this.#fetchOnce(listener, 0)
    } catch (error) {
      // A key that is wrong does not become right.
      if (error instanceof NomalyError && ['unauthenticated', 'forbidden'].includes(error.code)) throw error
      this.#loop = this.#follow(listener)
      throw error
    }
    this.#loop = this.#follow(listener)
  }

  async stop(): Promise<void> {
    this.#closing.abort()
    await this.#loop
  }

  evaluate(key: string, context: FlagContext): Evaluation {
    return this.#evaluator?.evaluate(key, context) ?? NOT_READY
  }

  async #follow(listener: FlagSourceListener): Promise<void> {
    const { signal } = this.#closing
    for (let failures = 0; !signal.aborted;) {
      const startedAt = performance.now()
      try {
        const hasNews = await this.#fetchOnce(listener, this.#etag === undefined ? 0 : this.#waitSeconds)
        failures = 0
        if (!hasNews && performance.now() - startedAt < 500) await pause(PAUSE_MS, signal)
      } catch (error) {
        if (signal.aborted) return
        this.#fail(listener, error as Error)
        await pause(
          Math.min(MAX_RETRY_MS, 200 * 2 ** Math.min(failures++, 6)) * (0.5 + Math.random()),
          signal,
        )
      }
    }
  }

  /** @returns whether there was something new. */
  async #fetchOnce(listener: FlagSourceListener, waitSeconds: number): Promise<boolean> {
    const { ruleset, etag } = await this.#ask(waitSeconds)
    this.#failingSince = undefined
    const isFirst = this.#evaluator === undefined
    if (this.#isStale) {
      this.#isStale = false
      listener.stale(false, '')
    }
    if (ruleset === undefined) return false
    const keys = changedKeys(this.#flags, ruleset.flags)
    this.#evaluator = new RulesetEvaluator(ruleset.flags)
    this.#flags = ruleset.flags
    this.#etag = etag
    // The first one is no change; where it came late, it is news that it came.
    if (!isFirst) listener.changed(keys)
    else if (this.#loop !== undefined) listener.recovered()
    return true
  }

  async #ask(waitSeconds: number): Promise<Answer> {
    const { url, apiKey } = this.#options
    const etag = this.#etag
    const target = `${url.replace(/\/+$/, '')}/v1/flag-ruleset?waitSeconds=${waitSeconds}`
    const request = {
      headers: {
        authorization: `Bearer ${apiKey}`,
        accept: 'application/json',
        ...(etag === undefined ? {} : { 'if-none-match': etag }),
      },
      // The key is for this server alone.
      redirect: 'error',
      signal: AbortSignal.any([this.#closing.signal, AbortSignal.timeout(waitSeconds * 1_000 + TIMEOUT_MS)]),
    } as const
    const response = await fetch(target, request).catch((error: unknown) => {
      throw unreachable(url, error)
    })
    const text = await response.text()
    if (response.status === 304) return { ruleset: undefined, etag }
    if (response.status !== 200) throw refusal(response.status, url)
    return { ruleset: JSON.parse(text) as Ruleset, etag: response.headers.get('etag') ?? undefined }
  }

  #fail(listener: FlagSourceListener, error: Error): void {
    this.#failingSince ??= performance.now()
    const staleAfterMs = this.#options.staleAfterMs ?? STALE_AFTER_MS
    if (
      this.#isStale ||
      this.#evaluator === undefined ||
      performance.now() - this.#failingSince < staleAfterMs
    )
      return
    this.#isStale = true
    listener.stale(true, error.message)
  }

  get #waitSeconds(): number {
    return Math.max(1, Math.min(60, Math.round(this.#options.waitSeconds ?? WAIT_SECONDS)))
  }
}

function changedKeys(before: Ruleset['flags'], after: Ruleset['flags']): string[] {
  const keys = new Set([...Object.keys(before), ...Object.keys(after)])
  const textOf = (flags: Ruleset['flags'], key: string): string | undefined =>
    Object.hasOwn(flags, key) ? JSON.stringify(flags[key]) : undefined
  return [...keys].filter((key) => textOf(before, key) !== textOf(after, key))
}

function unreachable(url: string, cause: unknown): NomalyError {
  return new NomalyError('unavailable', `${url} cannot be reached for flags.`, {
    hint: 'Check the URL, and whether the server runs.',
    cause,
  })
}

function refusal(status: number, url: string): NomalyError {
  const code = status === 401 ? 'unauthenticated' : status === 403 ? 'forbidden' : 'unavailable'
  return new NomalyError(code, `${url} answered ${status} when it was asked for flags.`, {
    hint: status === 401 ? 'Check the API key.' : 'Check the URL, and the log of the server.',
  })
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const timer = setTimeout(resolve, ms)
  signal.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true })
  return promise
}
