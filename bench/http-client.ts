import { Agent, request } from 'node:http'

/** A client of one instance that keeps its connections: cheap enough to share a machine with what it measures. */
export class HttpClient {
  readonly #url: string
  readonly #headers: Readonly<Record<string, string>>
  readonly #agent = new Agent({ keepAlive: true })

  constructor(url: string, apiKey?: string) {
    this.#url = url
    this.#headers = apiKey === undefined ? {} : { authorization: `Bearer ${apiKey}` }
  }

  /** Sends `body` as JSON and answers the JSON that comes back. Throws on a status that is not 2xx. */
  async json<T>(method: string, path: string, body?: unknown): Promise<T> {
    const bytes = body === undefined ? undefined : Buffer.from(JSON.stringify(body))
    return this.send<T>(method, path, bytes, 'application/json')
  }

  /** Sends bytes of a type and answers the JSON that comes back. Throws on a status that is not 2xx. */
  async send<T>(method: string, path: string, body: Uint8Array | undefined, type: string): Promise<T> {
    const { status, text } = await this.exchange(method, path, body, type)
    if (status < 200 || status > 299)
      throw new Error(`${method} ${path} answered ${status}: ${text.slice(0, 1000)}`)
    return (text === '' ? undefined : JSON.parse(text)) as T
  }

  /** Closes the connections. */
  [Symbol.dispose](): void {
    this.#agent.destroy()
  }

  /** Sends bytes of a type and answers what comes back, whatever its status. */
  exchange(
    method: string,
    path: string,
    body: Uint8Array | undefined,
    type: string,
  ): Promise<{ status: number; text: string }> {
    return new Promise((resolve, reject) => {
      const headers = {
        ...this.#headers,
        ...(body === undefined ? {} : { 'content-type': type, 'content-length': body.length }),
      }
      const outgoing = request(`${this.#url}${path}`, { method, agent: this.#agent, headers }, (incoming) => {
        let text = ''
        incoming.setEncoding('utf8')
        incoming.on('data', (part: string) => (text += part))
        incoming.on('end', () => resolve({ status: incoming.statusCode ?? 0, text }))
        incoming.on('error', reject)
      })
      outgoing.on('error', reject)
      outgoing.end(body)
    })
  }
}
