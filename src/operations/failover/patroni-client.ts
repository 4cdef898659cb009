import { request as plainRequest } from 'node:http'
import { request as tlsRequest } from 'node:https'
import { NomalyError } from '../../errors.ts'
import {
  type ClusterSettings,
  type ClusterView,
  toClusterSettings,
  toClusterView,
  toTimelineEnds,
} from './cluster-view.ts'
import { type PatroniAddress, parsePatroniUrls, readTls } from './patroni-address.ts'

export interface PatroniClientOptions {
  /** How long one member may take to answer a question. */
  readonly timeoutMs?: number
  /** How long a switchover may take: Patroni answers when it is over. */
  readonly switchTimeoutMs?: number
}

interface Answer {
  readonly status: number
  readonly text: string
}

/** Talks to the REST API of Patroni (3.0 or newer) on whichever member answers. */
export class PatroniClient {
  readonly #address: PatroniAddress
  readonly #timeoutMs: number
  readonly #switchTimeoutMs: number
  /** The one that answered last is asked first: a frozen one costs its whole timeout. */
  #origins: readonly string[]

  /** @param urls as in `NOMALY_PATRONI_URLS`. */
  constructor(urls: string, { timeoutMs = 2_000, switchTimeoutMs = 60_000 }: PatroniClientOptions = {}) {
    this.#address = parsePatroniUrls(urls)
    this.#origins = this.#address.origins
    this.#timeoutMs = timeoutMs
    this.#switchTimeoutMs = switchTimeoutMs
  }

  /** All members and their roles. @throws NomalyError `unavailable`. */
  async cluster(signal?: AbortSignal): Promise<ClusterView> {
    return toClusterView(await this.#read('/cluster', signal))
  }

  /** @throws NomalyError `unavailable`. */
  async settings(signal?: AbortSignal): Promise<ClusterSettings> {
    return toClusterSettings(await this.#read('/config', signal))
  }

  /** Where each former timeline ended. */
  async timelineEnds(signal?: AbortSignal): Promise<ReadonlyMap<number, bigint>> {
    return toTimelineEnds(await this.#read('/history', signal))
  }

  /** The origin of the member that holds the leader's lock; `undefined` where none of those that were named does. */
  async leaderOrigin(signal?: AbortSignal): Promise<string | undefined> {
    for (const origin of this.#address.origins) {
      const answer = await this.#ask(origin, 'GET', '/leader', undefined, this.#timeoutMs, signal).catch(
        noAnswer(signal),
      )
      if (answer?.status === 200) return origin
    }
    return undefined
  }

  /**
   * Hands the leader's place over in order, and answers when it is done, with Patroni's own words.
   * @throws NomalyError `conflict` with the reason that Patroni gives, `unavailable`, `unknown_outcome` where its answer was lost.
   */
  async switchover(leader: string, candidate: string | undefined, signal?: AbortSignal): Promise<string> {
    return this.#order('/switchover', { leader, ...(candidate === undefined ? {} : { candidate }) }, signal)
  }

  /** Makes a member the leader though there is none. Throws as {@link switchover}. */
  async failover(candidate: string, signal?: AbortSignal): Promise<string> {
    return this.#order('/failover', { candidate }, signal)
  }

  /** Asks one member after the other; all of them tell the same. */
  async #read(path: string, signal: AbortSignal | undefined): Promise<unknown> {
    const problems: string[] = []
    for (const origin of this.#origins) {
      try {
        const { status, text } = await this.#ask(origin, 'GET', path, undefined, this.#timeoutMs, signal)
        if (status === 200) {
          this.#origins = [origin, ...this.#address.origins.filter((other) => other !== origin)]
          return JSON.parse(text) as unknown
        }
        problems.push(`${origin} answers ${status}`)
      } catch (error) {
        signal?.throwIfAborted()
        if (error instanceof NomalyError) throw error
        problems.push(`${origin}: ${(error as Error).message}`)
      }
    }
    throw new NomalyError('unavailable', `No Patroni answers: ${problems.join('; ')}.`, {
      hint: 'Look whether Patroni runs, and whether NOMALY_PATRONI_URLS names the address, certificate authority and password that it has.',
      retryAfterSeconds: 2,
    })
  }

  /** An order goes to one member: the first that takes connections at all. */
  async #order(path: string, body: object, signal: AbortSignal | undefined): Promise<string> {
    for (const origin of this.#origins) {
      let answer: Answer
      try {
        answer = await this.#ask(origin, 'POST', path, JSON.stringify(body), this.#switchTimeoutMs, signal)
      } catch (error) {
        signal?.throwIfAborted()
        if (isRefusedConnection(error)) continue
        if (error instanceof NomalyError) throw error
        throw new NomalyError(
          'unknown_outcome',
          `Patroni's answer to ${path} was lost: ${(error as Error).message}.`,
          {
            hint: 'Look who leads now (`nomaly drill status`) before you order it again.',
            cause: error,
          },
        )
      }
      if (answer.status >= 200 && answer.status < 300) return answer.text.trim()
      if (answer.status === 401)
        throw new NomalyError('unauthenticated', 'Patroni wants user and password for this.', {
          hint: 'Write them into NOMALY_PATRONI_URLS: https://user:password@host:8008.',
        })
      throw new NomalyError(
        'conflict',
        `Patroni refuses: ${answer.text.trim() || `status ${answer.status}`}.`,
        {
          hint: 'Nothing was changed. `nomaly drill status` shows the members and their roles.',
        },
      )
    }
    throw new NomalyError('unavailable', 'No Patroni takes connections.', {
      hint: 'Look whether it runs, and whether NOMALY_PATRONI_URLS is right. Nothing was changed.',
    })
  }

  #ask(
    origin: string,
    method: string,
    path: string,
    body: string | undefined,
    timeoutMs: number,
    signal: AbortSignal | undefined,
  ): Promise<Answer> {
    const { authorization, tls } = this.#address
    const timeout = AbortSignal.timeout(timeoutMs)
    const request = origin.startsWith('https:') ? tlsRequest : plainRequest
    return new Promise((resolve, reject) => {
      const sent = request(
        `${origin}${path}`,
        {
          method,
          signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
          agent: false,
          headers: {
            ...(authorization === undefined ? {} : { authorization }),
            ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          },
          ...(origin.startsWith('https:') ? readTls(tls) : {}),
        },
        (response) => {
          let text = ''
          response.setEncoding('utf8')
          response.on('data', (part: string) => (text += part))
          response.on('end', () => resolve({ status: response.statusCode ?? 0, text }))
          response.on('error', reject)
        },
      )
      sent.on('error', (error) =>
        reject(timeout.aborted ? new Error(`no answer within ${timeoutMs} ms`) : error),
      )
      sent.end(body)
    })
  }
}

function isRefusedConnection(error: unknown): boolean {
  return ['ECONNREFUSED', 'ENOTFOUND', 'EHOSTUNREACH', 'EAI_AGAIN'].includes(
    (error as NodeJS.ErrnoException).code ?? '',
  )
}

function noAnswer(signal: AbortSignal | undefined): () => undefined {
  return () => {
    signal?.throwIfAborted()
    return undefined
  }
}
