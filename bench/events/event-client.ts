import { type ClientRequest, type IncomingMessage, request } from 'node:http'

/** What a listener has found out. */
export interface StreamReport {
  /** The last of the numbers that the producer gave. */
  readonly last: number
  readonly heard: number
  /** Numbers that were passed over. */
  readonly lost: number
  /** Numbers that came again, or too late. */
  readonly disordered: number
  /** Connections that the server or the network ended. */
  readonly broken: number
}

const DATA = Buffer.from('\ndata: {"n":')
const END = Buffer.from('\n\n')
const ID = Buffer.from('id: ')
const SENT = Buffer.from('"sentMs":')

/** One listener over a connection of its own, which looks at the number of every event. Looks at bytes alone: a thousand of them share a machine with the server. */
export class EventClient {
  readonly #url: URL
  readonly #key: string
  readonly #onLatency: (ms: number) => void
  #rest: Buffer = Buffer.alloc(0)
  #request: ClientRequest | undefined
  #lastId: string | undefined
  #last = 0
  #heard = 0
  #lost = 0
  #disordered = 0
  #broken = 0
  #isAway = false
  #isReturning = false

  constructor(url: string, key: string, onLatency: (ms: number) => void) {
    this.#url = new URL('/v1/events', url)
    this.#key = key
    this.#onLatency = onLatency
  }

  get report(): StreamReport {
    const [last, heard, lost] = [this.#last, this.#heard, this.#lost]
    return { last, heard, lost, disordered: this.#disordered, broken: this.#broken }
  }

  /** Connects; resolves with the greeting. */
  connect(): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.#isAway = false
    this.#rest = Buffer.alloc(0)
    const headers = {
      authorization: `Bearer ${this.#key}`,
      ...(this.#lastId === undefined ? {} : { 'last-event-id': this.#lastId }),
    }
    const asked = request(this.#url, { headers, agent: false })
    this.#request = asked
    asked.on('error', (error) => {
      reject(error)
      this.#lose(asked)
    })
    asked.on('response', (response: IncomingMessage) => {
      if (response.statusCode !== 200) return reject(new Error(`answered with ${response.statusCode}`))
      response.once('data', () => resolve())
      response.on('data', (chunk: Buffer) => this.#read(chunk))
      response.on('close', () => this.#lose(asked))
      response.on('error', () => {})
    })
    asked.end()
    return promise
  }

  /** Leaves without a word. */
  leave(): void {
    this.#isAway = true
    this.#request?.destroy()
  }

  /** Comes back with the last id. */
  async return(): Promise<void> {
    // What it is behind says nothing about how quick the server is.
    this.#isReturning = true
    await this.connect()
  }

  #lose(asked: ClientRequest): void {
    if (this.#request !== asked || this.#isAway) return
    this.#request = undefined
    this.#broken++
    setTimeout(() => void this.connect().catch(() => {}), 1_000)
  }

  #read(chunk: Buffer): void {
    const bytes = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk])
    const end = bytes.lastIndexOf(END)
    if (end === -1) return void (this.#rest = bytes)
    this.#rest = bytes.subarray(end + END.length)
    const isBehind = this.#isReturning
    let counted = false
    for (let at = bytes.indexOf(DATA); at !== -1 && at < end; at = bytes.indexOf(DATA, at + DATA.length)) {
      this.#count(numberAt(bytes, at + DATA.length))
      counted = true
    }
    const id = bytes.lastIndexOf(ID, end)
    if (id !== -1) this.#lastId = String(numberAt(bytes, id + ID.length))
    const sent = counted ? bytes.lastIndexOf(SENT, end) : -1
    if (sent === -1) return
    const latencyMs = Date.now() - numberAt(bytes, sent + SENT.length)
    if (latencyMs < 1_000) this.#isReturning = false
    if (!isBehind) this.#onLatency(latencyMs)
  }

  #count(n: number): void {
    this.#heard++
    if (n <= this.#last) return void this.#disordered++
    this.#lost += n - this.#last - 1
    this.#last = n
  }
}

/** Reads digits. */
function numberAt(bytes: Buffer, start: number): number {
  let value = 0
  for (let at = start; at < bytes.length; at++) {
    const digit = bytes[at]! - 48
    if (digit < 0 || digit > 9) break
    value = value * 10 + digit
  }
  return value
}
