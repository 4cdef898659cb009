import { scoreOfRarity, severityOf } from './finding.ts'
import type { Finding } from './finding.ts'
import { CHANNELS } from './deviation-scorer.ts'
import type { StateReader, StateWriter } from './state-codec.ts'

/** A point that was found unusual, with what would have been normal. */
export interface FlaggedPoint {
  readonly timeMs: number
  readonly observed: number
  readonly expected: number
  readonly lower: number
  readonly upper: number
  readonly channel: number
  readonly decades: number
  readonly probability: number
  /** The point's scores by channel. */
  readonly scores: Float64Array
}

const FIELDS = 16

/** Joins flagged points to events: one alarm each, however many points it has (peak suppression). */
export class EventTracker {
  #event: Float64Array | undefined
  #peakScores = new Float64Array(CHANNELS.length)

  /** Whether an event is under way. */
  get open(): boolean {
    return this.#event !== undefined
  }

  /** How many points of the event were flagged. */
  get flagged(): number {
    return this.#event?.[13] ?? 0
  }

  /** Whether the event has as many flagged points as it needed to be believed. */
  get confirmed(): boolean {
    return this.#event?.[14] === 1
  }

  get lastFlaggedMs(): number {
    return this.#event?.[1] ?? Number.NEGATIVE_INFINITY
  }

  /** Scores at the most extreme point. */
  get peakScores(): Float64Array {
    return this.#peakScores
  }

  /** Takes a flagged point in; the event is believed once it has as many as `needed` at that moment. */
  flag(point: FlaggedPoint, needed: number): void {
    const e = this.#event
    if (e === undefined) {
      this.#event = new Float64Array(FIELDS)
      this.#event[0] = point.timeMs
      this.#event[12] = point.channel
      this.#peak(this.#event, point)
    } else if (point.decades > e[8]! && !isReturn(e[12]!, point.channel)) this.#peak(e, point)
    this.#event![1] = point.timeMs
    this.#event![13]!++
    if (this.confirmed || this.flagged < needed) return
    this.#event![14] = 1
    this.#event![2] = point.timeMs
    this.#event![11] = Math.min(point.decades, this.#event![8]!)
  }

  /** The event as it stands; undefined when there is none to be believed. */
  finding(open: boolean, explain: (event: EventFacts) => string): Finding | undefined {
    const e = this.#event
    if (e === undefined || !this.confirmed) return undefined
    const channel = CHANNELS[e[9]!]!
    const score = scoreOfRarity(e[8]!)
    const facts: EventFacts = {
      channel,
      startMs: e[0]!,
      endMs: e[1]!,
      peakMs: e[3]!,
      observed: e[4]!,
      expected: e[5]!,
      lower: e[6]!,
      upper: e[7]!,
      decades: e[8]!,
      probability: e[10]!,
    }
    return {
      startMs: facts.startMs,
      endMs: facts.endMs,
      detectedMs: e[2]!,
      peakMs: facts.peakMs,
      observed: facts.observed,
      expected: facts.expected,
      lower: facts.lower,
      upper: facts.upper,
      score,
      detectedScore: scoreOfRarity(e[11]!),
      probability: facts.probability,
      severity: severityOf(score),
      direction: directionOf(facts),
      explanation: explain(facts),
      open,
    }
  }

  close(): void {
    this.#event = undefined
  }

  write(writer: StateWriter): void {
    writer.numbers(this.#event ?? [])
    writer.numbers(this.#peakScores)
  }

  read(reader: StateReader): void {
    const event = new Float64Array(FIELDS)
    this.#event = reader.numbers(event) === 0 ? undefined : event
    reader.numbers(this.#peakScores)
  }

  #peak(e: Float64Array, point: FlaggedPoint): void {
    e[3] = point.timeMs
    e[4] = point.observed
    e[5] = point.expected
    e[6] = point.lower
    e[7] = point.upper
    e[8] = point.decades
    e[9] = point.channel
    e[10] = point.probability
    this.#peakScores.set(point.scores)
  }
}

/** The jump back to normal is often the largest of all, but it is not what the event is about. */
function isReturn(firstChannel: number, channel: number): boolean {
  const jump = CHANNELS[channel]!
  const first = CHANNELS[firstChannel]!
  if (jump === 'jump-up') return first === 'below' || first === 'jump-down' || first === 'long-below'
  return jump === 'jump-down' && (first === 'above' || first === 'jump-up' || first === 'long-above')
}

/** What is known of an event, for its explanation. */
export interface EventFacts {
  readonly channel: (typeof CHANNELS)[number]
  readonly startMs: number
  readonly endMs: number
  readonly peakMs: number
  readonly observed: number
  readonly expected: number
  readonly lower: number
  readonly upper: number
  readonly decades: number
  readonly probability: number
}

function directionOf(facts: EventFacts): Finding['direction'] {
  if (facts.channel === 'restless' || facts.channel === 'frozen') return 'pattern'
  if (facts.channel === 'above' || facts.channel === 'long-above' || facts.channel === 'jump-up')
    return 'above'
  return 'below'
}
