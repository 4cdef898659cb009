import type { FastifyReply, FastifyRequest } from 'fastify'
import type { BrowserSecret } from '../../sessions/sessions.ts'

/** The cookie of a browser that is signed in. */
export class BrowserCookie {
  readonly #name: string
  readonly #attributes: string

  /**
   * @param isSecure whether browsers reach the product over TLS, also where a proxy ends it. Then the name keeps other hosts of the domain and plain
   * HTTP from setting it (RFC 6265bis, 4.1.3.2); without TLS browsers refuse such a name.
   */
  constructor(isSecure: boolean) {
    this.#name = isSecure ? '__Host-nomaly' : 'nomaly'
    // Lax, since the link is opened from a terminal or a mail; what changes anything checks its origin.
    this.#attributes = `Path=/; HttpOnly;${isSecure ? ' Secure;' : ''} SameSite=Lax`
  }

  /** The secret that a request brought along. */
  read(request: FastifyRequest): string | undefined {
    return request.cookies[this.#name]
  }

  /** The secret that an answer gives. */
  given(reply: FastifyReply): string | undefined {
    const [pair] = String(reply.getHeader('set-cookie') ?? '').split(';')
    return pair?.startsWith(`${this.#name}=`) === true ? pair.slice(this.#name.length + 1) : undefined
  }

  set(reply: FastifyReply, { secret, maxAgeSeconds }: BrowserSecret): void {
    // A cache on the way must not give it to somebody else.
    void reply
      .header('cache-control', 'no-store')
      .header('set-cookie', `${this.#name}=${secret}; Max-Age=${maxAgeSeconds}; ${this.#attributes}`)
  }

  clear(reply: FastifyReply): void {
    void reply.header('set-cookie', `${this.#name}=; Max-Age=0; ${this.#attributes}`)
  }
}
