import type { Socket } from 'node:net'
import type { WebSocket } from '@fastify/websocket'
import type { TailEvent } from '../../store/event-tail.ts'
import { drainedWithin } from './drained-within.ts'
import {
  type DropReason,
  DROP_REASONS,
  type EventSink,
  LAST_WORDS_MS,
  type SharedTexts,
} from './event-sink.ts'

/** RFC 6455, 7.4.1, and its registry: 1013 is "try again later". */
export const CLOSE_CODES: Readonly<Record<DropReason, number>> = {
  slow: 1013,
  revoked: 1008,
  stopping: 1001,
  silent: 1001,
}

/** One text message of JSON for each event. */
export class WebSocketSink implements EventSink {
  readonly transport = 'websocket'
  readonly #webSocket: WebSocket
  readonly #socket: Socket
  #hasAnswered = true

  /** @param socket what the WebSocket writes to. */
  constructor(webSocket: WebSocket, socket: Socket) {
    this.#webSocket = webSocket
    this.#socket = socket
    webSocket.on('pong', () => (this.#hasAnswered = true))
  }

  get backlogBytes(): number {
    return this.#webSocket.bufferedAmount
  }

  greet(lastId: number): void {
    this.#write(Buffer.from(`{"id":"${lastId}","event":"hello","data":{}}`))
  }

  send(events: readonly TailEvent[], shared: SharedTexts): void {
    // In one piece for the network, however many messages they are.
    this.#socket.cork()
    for (const { id, topic, data } of events) {
      const key = `websocket ${id}`
      let text = shared.get(key)
      if (text === undefined) {
        text = Buffer.from(`{"id":"${id}","event":${JSON.stringify(topic)},"data":${data}}`)
        shared.set(key, text)
      }
      this.#write(text)
    }
    this.#socket.uncork()
  }

  tell(name: string, data: object): void {
    this.#write(Buffer.from(JSON.stringify({ event: name, data })))
  }

  /** Browsers answer a ping by themselves. */
  beat(): boolean {
    if (!this.#hasAnswered) return false
    this.#hasAnswered = false
    this.#webSocket.ping()
    return true
  }

  drained(timeoutMs: number): Promise<boolean> {
    return drainedWithin(this.#socket, timeoutMs)
  }

  drop(reason: DropReason): void {
    this.#webSocket.close(CLOSE_CODES[reason], `${reason}: ${DROP_REASONS[reason]}`)
    const timer = setTimeout(() => this.#webSocket.terminate(), LAST_WORDS_MS).unref()
    this.#webSocket.once('close', () => clearTimeout(timer))
  }

  #write(text: Buffer): void {
    this.#webSocket.send(text, { binary: false })
  }
}
