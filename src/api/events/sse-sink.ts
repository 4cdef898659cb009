import type { ServerResponse } from 'node:http'
import type { TailEvent } from '../../store/event-tail.ts'
import { drainedWithin } from './drained-within.ts'
import {
  type DropReason,
  DROP_REASONS,
  type EventSink,
  LAST_WORDS_MS,
  type SharedTexts,
} from './event-sink.ts'

/** Server-sent events (WHATWG HTML 9.2). */
export class SseSink implements EventSink {
  readonly transport = 'sse'
  readonly #response: ServerResponse

  constructor(response: ServerResponse) {
    this.#response = response
  }

  get backlogBytes(): number {
    return this.#response.writableLength
  }

  greet(lastId: number): void {
    this.#response.writeHead(200, {
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      connection: 'keep-alive',
      'x-accel-buffering': 'no',
    })
    // Tells the browser how long to wait before it connects again, and from where.
    this.#response.write(`retry: 1000\nid: ${lastId}\nevent: hello\ndata: {}\n\n`)
  }

  send(events: readonly TailEvent[], shared: SharedTexts): void {
    const key = `sse ${events[0]?.id} ${events.length}`
    let text = shared.get(key)
    if (text === undefined) {
      const lines = events.map(({ id, topic, data }) => `id: ${id}\nevent: ${topic}\ndata: ${data}\n\n`)
      text = Buffer.from(lines.join(''))
      shared.set(key, text)
    }
    this.#response.write(text)
  }

  tell(name: string, data: object): void {
    this.#response.write(`event: ${name}\ndata: ${JSON.stringify(data)}\n\n`)
  }

  /** TCP finds out by itself whether somebody is there; what is not taken shows in the backlog. */
  beat(): boolean {
    this.#response.write(': still here\n\n')
    return true
  }

  drained(timeoutMs: number): Promise<boolean> {
    return drainedWithin(this.#response, timeoutMs)
  }

  drop(reason: DropReason): void {
    const data = { reason, detail: DROP_REASONS[reason] }
    this.#response.end(`event: dropped\ndata: ${JSON.stringify(data)}\n\n`)
    // An end in order would wait for a reader that does not read, with all that is kept for it.
    const timer = setTimeout(() => this.#response.destroy(), LAST_WORDS_MS).unref()
    this.#response.once('close', () => clearTimeout(timer))
  }
}
