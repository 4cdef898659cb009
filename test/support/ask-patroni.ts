import { request } from 'node:https'

export interface PatroniAnswer {
  readonly status: number
  readonly body: string
}

/** What Patroni says of a member in `GET /cluster`. */
export interface ClusterMemberState {
  readonly name: string
  readonly role: 'leader' | 'replica' | 'sync_standby'
  readonly state: string
  readonly timeline?: number
  readonly lag?: number | string
}

export interface PatroniQuestion {
  /** Whom to trust, PEM. */
  readonly authority: string
  /** `user:password`, for what changes something. */
  readonly login?: string | undefined
  /** Makes it a POST. */
  readonly body?: unknown
}

/** Asks a Patroni over TLS; fails after two seconds without an answer. */
export async function askPatroni(url: string, question: PatroniQuestion): Promise<PatroniAnswer> {
  const { authority, login, body } = question
  return new Promise((resolve, reject) => {
    const sent = request(
      url,
      {
        method: body === undefined ? 'GET' : 'POST',
        ca: authority,
        timeout: 2_000,
        agent: false,
        ...(login === undefined ? {} : { auth: login }),
      },
      (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('end', () =>
          resolve({ status: response.statusCode!, body: Buffer.concat(chunks).toString() }),
        )
        response.on('error', reject)
      },
    )
    sent.on('timeout', () => sent.destroy(new Error('timed out')))
    sent.on('error', reject)
    sent.end(body === undefined ? undefined : JSON.stringify(body))
  })
}
