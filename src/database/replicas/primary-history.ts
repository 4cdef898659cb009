import { isSameHistory, type WalPoint } from './lsn.ts'

interface Sample {
  /** When it was first seen there. */
  readonly firstMs: number
  /** Before the primary was last asked and still stood there: what was committed before then is before the point. */
  readonly atMs: number
  readonly point: WalPoint
}

/** Where the primary stood at times of the last while, by the clock of this process. */
export class PrimaryHistory {
  readonly #keepMs: number
  #samples: Sample[] = []
  #floor: WalPoint | undefined

  constructor(keepMs: number) {
    this.#keepMs = keepMs
  }

  /** What it answered last. */
  get newest(): WalPoint | undefined {
    return this.#samples.at(-1)?.point
  }

  /**
   * What a standby must have replayed to be asked at all: where the primary stood when it was first heard of, so that no standby lacks tables
   * that this process relies on.
   */
  get floor(): WalPoint | undefined {
    return this.#floor
  }

  /** Notes an answer of the primary to a question of `atMs`. Another timeline begins a new history. */
  note(atMs: number, point: WalPoint): void {
    const last = this.#samples.at(-1)
    let firstMs = atMs
    if (last === undefined || !isSameHistory(last.point, point)) {
      this.#samples = []
      this.#floor = point
    } else if (point.lsn < last.point.lsn) {
      // A primary never goes back: this is an answer that was overtaken.
      return
    } else if (last.point.lsn === point.lsn) {
      this.#samples.pop()
      firstMs = last.firstMs
    }
    this.#samples.push({ firstMs, atMs, point })
    const firstKept = this.#samples.findIndex(({ atMs: at }) => at >= atMs - this.#keepMs)
    if (firstKept > 0) this.#samples.splice(0, firstKept)
  }

  /** Standbys that have not replayed this are not asked any more. */
  raiseFloor(point: WalPoint): void {
    const floor = this.#floor
    if (floor === undefined || !isSameHistory(floor, point) || point.lsn > floor.lsn) this.#floor = point
  }

  /**
   * What must have been replayed so that nothing is missing that was committed before `sinceMs`; `undefined` where nobody has asked the primary
   * since then.
   */
  since(sinceMs: number): WalPoint | undefined {
    let low = 0
    let high = this.#samples.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#samples[middle]!.atMs >= sinceMs) high = middle
      else low = middle + 1
    }
    return this.#samples[low]?.point
  }

  /** For how long, in milliseconds, the primary has been past a point; at least so long where it has been for longer than is remembered. */
  lagMs(replayed: bigint, nowMs: number): number {
    const passed = this.#samples.find(({ point }) => point.lsn > replayed)
    return passed === undefined ? 0 : Math.max(0, nowMs - passed.firstMs)
  }
}
