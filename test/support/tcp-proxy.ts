import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

/** What becomes of a connection on which something was sent: the request never arrives, or its answer never comes back. */
export interface Fate {
  readonly lost: 'request' | 'answer'
  /** `cut` ends both sides at that moment; `silent` leaves them open, and nothing moves any more. */
  readonly next: 'cut' | 'silent'
}

interface Pair {
  readonly client: Socket
  readonly server: Socket
}

/** Stands between a client and a server, and can lose what they say to one another. */
export class TcpProxy implements AsyncDisposable {
  #target: { readonly host: string; readonly port: number }
  readonly #pairs = new Set<Pair>()
  readonly #listener = createServer((client) => this.#accept(client))
  #chooseTarget = (): { readonly host: string; readonly port: number } => this.#target
  #isAway = false
  #strike: ((sent: Buffer) => Fate | undefined) | undefined

  private constructor(target: { readonly host: string; readonly port: number }) {
    this.#target = target
  }

  /** Starts a proxy to the server of a database URL. */
  static async to(databaseUrl: string): Promise<TcpProxy> {
    const { hostname, port } = new URL(databaseUrl)
    const proxy = new TcpProxy({ host: hostname, port: Number(port) })
    proxy.#listener.listen(0, '127.0.0.1')
    await once(proxy.#listener, 'listening')
    return proxy
  }

  /** The same database, by way of this proxy. */
  url(databaseUrl: string): string {
    const url = new URL(databaseUrl)
    url.hostname = '127.0.0.1'
    url.port = String((this.#listener.address() as AddressInfo).port)
    return url.href
  }

  /** Connections that are open now. */
  get connections(): number {
    return this.#pairs.size
  }

  /** Ends every connection; new ones come through. */
  cut(): void {
    for (const pair of this.#pairs) this.#end(pair)
  }

  /** Ends every connection and refuses new ones, until {@link comeBack}. */
  goAway(): void {
    this.#isAway = true
    this.cut()
  }

  /** Ends every connection; new ones come through to the server of another URL. */
  leadTo(url: string): void {
    const { hostname, port } = new URL(url)
    this.#target = { host: hostname, port: Number(port) }
    this.cut()
  }

  /** New connections come through to the servers of several URLs, one after the other. */
  balance(urls: readonly string[]): void {
    const targets = urls
      .map((url) => new URL(url))
      .map(({ hostname, port }) => ({ host: hostname, port: Number(port) }))
    let turn = 0
    this.#chooseTarget = () => targets[turn++ % targets.length]!
  }

  comeBack(): void {
    this.#isAway = false
  }

  /** Looks at everything a client sends; the first fate that `decide` answers strikes that connection, once. */
  strike(decide: (sent: Buffer) => Fate | undefined): void {
    this.#strike = decide
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut()
    this.#listener.close()
    await once(this.#listener, 'close')
  }

  #accept(client: Socket): void {
    if (this.#isAway) {
      client.destroy()
      return
    }
    const pair = { client, server: connect(this.#chooseTarget()) }
    this.#pairs.add(pair)
    let fate: Fate | undefined
    const end = (): void => this.#end(pair)
    client.on('data', (sent) => {
      if (fate !== undefined) return
      fate = this.#strike?.(sent)
      if (fate !== undefined) this.#strike = undefined
      if (fate?.lost !== 'request') pair.server.write(sent)
      else if (fate.next === 'cut') end()
    })
    pair.server.on('data', (answer) => {
      if (fate === undefined) client.write(answer)
      else if (fate.next === 'cut') end()
    })
    for (const socket of [client, pair.server]) socket.on('error', end).on('close', end)
  }

  #end(pair: Pair): void {
    this.#pairs.delete(pair)
    pair.client.destroy()
    pair.server.destroy()
  }
}
