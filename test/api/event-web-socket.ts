import { once } from 'node:events'
import { WebSocket } from 'ws'
import { eventually } from '../support/nomaly.ts'

export interface WebSocketEvent {
  readonly id?: string
  readonly event: string
  // What a test expects of it is what it asserts.
  // eslint-disable-next-line typescript/no-explicit-any
  readonly data: any
}

export interface EventWebSocketOptions {
  readonly lastEventId?: string
  readonly headers?: Readonly<Record<string, string>>
  /** Reads nothing, and answers no ping. */
  readonly isDeaf?: boolean
}

/** Listens to `/v1/events` over a WebSocket. */
export class EventWebSocket implements AsyncDisposable {
  readonly heard: WebSocketEvent[] = []
  readonly socket: WebSocket
  /** Once it is closed: the code and the reason that the server gave. */
  closed: { readonly code: number; readonly reason: string } | undefined
  pings = 0

  private constructor(socket: WebSocket) {
    this.socket = socket
    socket.on('message', (text) => this.heard.push(JSON.parse(text.toString())))
    socket.on('ping', () => this.pings++)
    socket.on('close', (code, reason) => (this.closed = { code, reason: reason.toString() }))
    socket.on('error', () => {})
  }

  /** Connects. @throws Error with the status, where it is refused. */
  static async connect(
    url: string,
    key: string,
    options: EventWebSocketOptions = {},
  ): Promise<EventWebSocket> {
    const address = new URL('/v1/events', url.replace(/^http/, 'ws'))
    if (options.lastEventId !== undefined) address.searchParams.set('lastEventId', options.lastEventId)
    const socket = new WebSocket(address, {
      headers: { ...(key === '' ? {} : { authorization: `Bearer ${key}` }), ...options.headers },
    })
    const refused = new Promise<never>((_resolve, reject) => {
      socket.once('unexpected-response', (_request, response) => {
        response.resume()
        reject(new Error(`refused with ${response.statusCode}`))
        socket.terminate()
      })
      socket.once('error', reject)
    })
    refused.catch(() => {})
    const listener = new EventWebSocket(socket)
    await Promise.race([once(socket, 'open'), refused])
    if (options.isDeaf === true) socket.pause()
    else await listener.first(({ event }) => event === 'hello')
    return listener
  }

  get numbered(): WebSocketEvent[] {
    return this.heard.filter(({ event }) => !['hello', 'points', 'reset'].includes(event))
  }

  get lastId(): string {
    return this.heard.findLast(({ id }) => id !== undefined)!.id!
  }

  /** Waits for an event. */
  first(matches: (event: WebSocketEvent) => boolean): Promise<WebSocketEvent> {
    return eventually(async () => {
      const found = this.heard.find(matches)
      if (found === undefined && this.closed !== undefined)
        throw new Error(`The server has closed: ${this.closed.code} ${this.closed.reason}`)
      return found
    }, 10_000)
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.socket.terminate()
    return Promise.resolve()
  }
}
