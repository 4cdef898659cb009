interface UnderWay<T> {
  readonly answer: Promise<T>
  /** Begins when this one has ended, for all who came meanwhile. */
  next: Promise<T> | undefined
}

/**
 * Asks the same question once for many: who asks while an answer is under way gets the next one, since that one may have been looked up
 * before what the asker knows of. So every answer is as fresh as one's own would be, and at most one is looked up at a time.
 */
export class SharedLookUp<T> {
  readonly #underWay = new Map<string, UnderWay<T>>()

  /** What `lookUp` answers, begun after this call; the same `question` must mean the same look-up. */
  async ask(question: string, lookUp: () => Promise<T>): Promise<T> {
    const current = this.#underWay.get(question)
    if (current === undefined) return this.#begin(question, lookUp)
    current.next ??= current.answer.then(
      () => this.#begin(question, lookUp),
      () => this.#begin(question, lookUp),
    )
    return current.next
  }

  #begin(question: string, lookUp: () => Promise<T>): Promise<T> {
    const answer = lookUp().finally(() => {
      if (this.#underWay.get(question) === underWay && underWay.next === undefined)
        this.#underWay.delete(question)
    })
    const underWay: UnderWay<T> = { answer, next: undefined }
    this.#underWay.set(question, underWay)
    return answer
  }
}
