import { SingleBar } from 'cli-progress'

const SHOW_AFTER_MS = 2000

/** Progress of work on standard error: shown only at a terminal, and only when it takes longer than two seconds. */
export class Progress {
  readonly #startedMs = performance.now()
  readonly #total: number | undefined
  readonly #what: string
  #bar: SingleBar | undefined

  /** `total` is in the unit that {@link update} is given, `undefined` when it is not known. */
  constructor(what: string, total: number | undefined) {
    this.#what = what
    this.#total = total
  }

  update(done: number, detail: string): void {
    if (!process.stderr.isTTY || performance.now() - this.#startedMs < SHOW_AFTER_MS) return
    if (this.#bar === undefined) {
      const amount = this.#total === undefined ? '' : ' {bar} {percentage}%'
      this.#bar = new SingleBar({
        format: `${this.#what}${amount}  {detail}`,
        barCompleteChar: '━',
        barIncompleteChar: '─',
        barsize: 30,
        hideCursor: true,
        clearOnComplete: true,
        stream: process.stderr,
      })
      this.#bar.start(this.#total ?? 1, 0, { detail })
    }
    this.#bar.update(Math.min(done, this.#total ?? 0), { detail })
  }

  stop(): void {
    this.#bar?.stop()
  }
}
