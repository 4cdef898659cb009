const MAX_BATCH = 500

/** Sends notices without being waited for, in the order in which they came; those that come while others are on their way go together, each once. */
export class NoticeSender {
  readonly #transmit: (notices: readonly string[]) => Promise<void>
  /** Not on their way yet: one that is may have been heard before what it would tell again. */
  readonly #waiting = new Set<string>()
  #isSending = false

  /** @param transmit answers when the notices were sent, or could not be; never rejects. */
  constructor(transmit: (notices: readonly string[]) => Promise<void>) {
    this.#transmit = transmit
  }

  send(notice: string): void {
    this.#waiting.add(notice)
    if (!this.#isSending) void this.#sendAll()
  }

  async #sendAll(): Promise<void> {
    this.#isSending = true
    while (this.#waiting.size > 0) {
      const batch = [...this.#waiting].slice(0, MAX_BATCH)
      for (const notice of batch) this.#waiting.delete(notice)
      await this.#transmit(batch)
    }
    this.#isSending = false
  }
}
