import { eventually } from '../support/nomaly.ts'

/** One server-sent event. */
export interface HeardEvent {
  /** Of the newest event so far that had one. */
  readonly id: string
  readonly event: string
  // What a test expects of it is what it asserts.
  // eslint-disable-next-line typescript/no-explicit-any
  readonly data: any
}

/** Listens to `/v1/events`, after the rules of WHATWG HTML 9.2.6 as far as the server uses them. */
export class EventListener implements AsyncDisposable {
  readonly heard: HeardEvent[] = []
  readonly #controller = new AbortController()
  #reading: Promise<void> = Promise.resolve()
  #lastId = ''
  isOver = false

  /** Connects, and waits for the greeting. */
  static async connect(url: string, key: string, lastEventId?: string): Promise<EventListener> {
    const listener = new EventListener()
    const response = await fetch(`${url}/v1/events`, {
      headers: {
        authorization: `Bearer ${key}`,
        ...(lastEventId === undefined ? {} : { 'last-event-id': lastEventId }),
      },
      signal: listener.#controller.signal,
    })
    if (response.status !== 200)
      throw new Error(`/v1/events answered ${response.status}: ${await response.text()}`)
    listener.#reading = listener.#read(response.body!).catch(() => {})
    await listener.first(({ event }) => event === 'hello')
    return listener
  }

  /** Id of the newest event: where another connection goes on. */
  get lastId(): string {
    return this.#lastId
  }

  /** Everything that has a number of its own. */
  get numbered(): HeardEvent[] {
    return this.heard.filter(({ event }) => !['hello', 'points', 'reset', 'dropped'].includes(event))
  }

  /** Waits for an event. */
  async first(matches: (event: HeardEvent) => boolean): Promise<HeardEvent> {
    return eventually(async () => this.heard.find(matches), 10_000)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#controller.abort()
    await this.#reading
  }

  async #read(body: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder()
    let text = ''
    try {
      for await (const chunk of body) {
        text += decoder.decode(chunk, { stream: true })
        const blocks = text.split('\n\n')
        text = blocks.pop()!
        blocks.forEach((block) => this.#hear(block))
      }
    } finally {
      this.isOver = true
    }
  }

  #hear(block: string): void {
    const fields = new Map(
      block
        .split('\n')
        .map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trimStart()]),
    )
    this.#lastId = fields.get('id') ?? this.#lastId
    const event = fields.get('event')
    if (event === undefined) return
    this.heard.push({ id: this.#lastId, event, data: JSON.parse(fields.get('data') ?? 'null') })
  }
}
