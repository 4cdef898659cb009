import type { ErrorCode } from '../../errors.ts'
import { NomalyError } from '../../errors.ts'
import type { Position } from '../../database/position.ts'

/** `straight`: counters written to the former leader itself, past whatever leads clients to the current one. */
export type WriteKind = 'counters' | 'points' | 'straight'

/** What whoever wrote was told. `refused` says that nothing was stored, `unknown` says nothing. */
export type Told = 'acknowledged' | 'refused' | 'unknown'

/** One write, and what became of each attempt at it. */
export interface Write {
  readonly kind: WriteKind
  readonly lane: number
  /** From 0, without gaps: a lane repeats a write until it is acknowledged. */
  readonly n: number
  acknowledgedAtMs: number | undefined
  /** Of the acknowledgement. */
  position: Position | undefined
  /** What attempts before were told that were not acknowledged. */
  readonly failed: Told[]
  /** Whether the attempt that was acknowledged found it stored by one before, and what that one had been told. */
  foundStored: Told | undefined
}

/** Everything that was written during a drill, and what was said of it. Times are epoch milliseconds of one clock. */
export class WriteLedger {
  readonly writes: Write[] = []
  readonly errors = new Map<string, number>()

  begin(kind: WriteKind, lane: number, n: number): Write {
    const write: Write = {
      kind,
      lane,
      n,
      acknowledgedAtMs: undefined,
      position: undefined,
      failed: [],
      foundStored: undefined,
    }
    this.writes.push(write)
    return write
  }

  /** @param isNew false where the write was found stored already. */
  acknowledge(write: Write, atMs: number, position: Position, isNew: boolean): void {
    write.acknowledgedAtMs = atMs
    write.position = position
    if (isNew) return
    // Attempts that were told nothing may be the ones that did it: only where none was is a refusal known to be wrong.
    write.foundStored = write.failed.includes('unknown') ? 'unknown' : 'refused'
  }

  fail(write: Write, error: unknown): void {
    write.failed.push(toldBy(error))
    this.count(error)
  }

  /** Counts an error by its code, or by its message where it has none: such a one nobody should see. */
  count(error: unknown): void {
    const name =
      error instanceof NomalyError ? error.code : `${(error as Error).name}: ${(error as Error).message}`
    this.errors.set(name, (this.errors.get(name) ?? 0) + 1)
  }

  of(kind: WriteKind): Write[] {
    return this.writes.filter((write) => write.kind === kind)
  }
}

/** Whoever gets one of these is told that nothing was stored. */
const REFUSALS: ReadonlySet<ErrorCode> = new Set([
  'unavailable',
  'overloaded',
  'rate_limited',
  'not_found',
  'invalid_input',
])

function toldBy(error: unknown): Told {
  return error instanceof NomalyError && REFUSALS.has(error.code) ? 'refused' : 'unknown'
}

/**
 * The longest time in which nothing of a kind was acknowledged, from a moment on: after a blow that stops writes, the time to the next one.
 * `undefined` where nothing was acknowledged any more.
 */
export function longestPauseMs(writes: readonly Write[], fromMs: number, toMs: number): number | undefined {
  const times = writes
    .flatMap(({ acknowledgedAtMs }) => acknowledgedAtMs ?? [])
    .filter((at) => at > fromMs && at <= toMs)
    .toSorted((a, b) => a - b)
  if (times.length === 0) return undefined
  let longest = 0
  let before = fromMs
  for (const at of [...times, toMs]) {
    longest = Math.max(longest, at - before)
    before = at
  }
  return longest
}
