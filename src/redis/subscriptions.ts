import { setTimeout as sleep } from 'node:timers/promises'
import { ErrorReply } from 'redis'
import type { RedisNode } from './address.ts'
import { backoffMs } from './backoff.ts'
import { closeClient, openClient, type LinkOptions, type OpenClient, type RedisClient } from './client.ts'
import { guard } from './guard.ts'
import { findMaster, isReplaced } from './sentinel.ts'
import { within } from './within.ts'

const BEAT_MS = 1_000
const FIRST_WAIT_MS = 1_000

interface Subscription {
  readonly channel: string
  readonly listener: (message: string) => void
  readonly onReconnect: () => void
  isHeard: boolean
  readonly firstHeard: PromiseWithResolvers<void>
  /** Its caller was told that it stands, and it does not: when it does, there was a gap. */
  isMissed: boolean
}

/** A connection for what is published, opened when first asked for. It comes back by itself and says so: messages of the meantime are lost. */
export class Subscriptions implements AsyncDisposable {
  readonly #options: LinkOptions
  readonly #log: (message: string) => void
  readonly #closing = new AbortController()
  readonly #subscriptions = new Set<Subscription>()
  #client: RedisClient | undefined
  #running: Promise<void> | undefined
  #attempts = 0
  #refusal: string | undefined

  constructor(options: Omit<LinkOptions, 'signal'>, log: (message: string) => void) {
    this.#options = { ...options, signal: this.#closing.signal }
    this.#log = log
  }

  /** See {@link Redis.subscribe}. */
  async add(
    channel: string,
    listener: (message: string) => void,
    onReconnect: () => void,
  ): Promise<() => Promise<void>> {
    const subscription: Subscription = {
      channel,
      listener: (message) => guard(this.#log, () => listener(message)),
      onReconnect: () => guard(this.#log, onReconnect),
      isHeard: false,
      firstHeard: Promise.withResolvers(),
      isMissed: false,
    }
    this.#subscriptions.add(subscription)
    const client = this.#client
    // Where that fails, the next connection tries again.
    if (client !== undefined) await this.#hear(client, subscription).catch(() => closeClient(client))
    this.#running ??= this.#keepConnected()
    await within(subscription.firstHeard.promise, FIRST_WAIT_MS, this.#closing.signal).catch(() => {})
    if (!subscription.isHeard) subscription.isMissed = true
    return async () => {
      this.#subscriptions.delete(subscription)
      const unsubscribed = this.#client?.unsubscribe(channel, subscription.listener)
      if (unsubscribed !== undefined) await within(unsubscribed, FIRST_WAIT_MS).catch(() => {})
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort()
    if (this.#client !== undefined) closeClient(this.#client)
    await this.#running
  }

  async #keepConnected(): Promise<void> {
    const { signal } = this.#closing
    for (let failures = 0; !signal.aborted; failures++) {
      try {
        const node = await this.#chooseNode()
        await this.#serve(await openClient(this.#options, node), node)
        failures = 0
      } catch (error) {
        // That Redis is away is told by the shared connection; that a channel is refused is known here alone.
        if (error instanceof ErrorReply) this.#sayRefused(error.message)
      }
      await sleep(backoffMs(failures), undefined, { signal }).catch(() => {})
    }
  }

  /** What is published in a Cluster reaches every node of it. */
  async #chooseNode(): Promise<RedisNode> {
    const { address } = this.#options
    if (address.kind === 'sentinel') return await findMaster(address, this.#options)
    return address.nodes[this.#attempts++ % address.nodes.length]!
  }

  /** Hears until the connection is over. */
  async #serve({ client, over }: OpenClient, node: RedisNode): Promise<void> {
    const stop = new AbortController()
    try {
      if (this.#closing.signal.aborted) return
      this.#client = client
      await Promise.all([...this.#subscriptions].map((subscription) => this.#hear(client, subscription)))
      void this.#beat(client, node, stop.signal)
      await over
    } finally {
      stop.abort()
      this.#client = undefined
      closeClient(client)
      for (const subscription of this.#subscriptions) {
        if (subscription.isHeard) subscription.isMissed = true
        subscription.isHeard = false
      }
    }
  }

  async #hear(client: RedisClient, subscription: Subscription): Promise<void> {
    const { channel, listener } = subscription
    await within(client.subscribe(channel, listener), this.#options.connectTimeoutMs)
    if (subscription.isHeard) return
    subscription.isHeard = true
    subscription.firstHeard.resolve()
    if (subscription.isMissed) subscription.onReconnect()
    subscription.isMissed = false
  }

  async #beat(client: RedisClient, node: RedisNode, signal: AbortSignal): Promise<void> {
    const { address, connectTimeoutMs } = this.#options
    while (!signal.aborted) {
      await sleep(BEAT_MS, undefined, { signal }).catch(() => {})
      if (signal.aborted) return
      const isThere = await within(client.ping(), connectTimeoutMs).then(
        () => true,
        () => false,
      )
      if (!isThere || (await isReplaced(address, node, this.#options))) closeClient(client)
    }
  }

  #sayRefused(reason: string): void {
    if (this.#refusal === reason) return
    this.#refusal = reason
    this.#log(`Redis refuses a subscription: ${reason}`)
  }
}
