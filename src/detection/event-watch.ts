import { AlarmJudge } from './alarm-judge.ts'
import type { Verdict } from './alarm-judge.ts'
import { BudgetMeter } from './budget-meter.ts'
import type { FalseAlarmBudget } from './detector-settings.ts'
import { CHANNELS } from './deviation-scorer.ts'
import type { Channel, DeviationScorer } from './deviation-scorer.ts'
import { EventTracker } from './event-tracker.ts'
import { explainEvent } from './explain-event.ts'
import type { Band, Finding } from './finding.ts'
import { normalBand } from './normal-band.ts'
import type { SeriesIntake } from './series-intake.ts'
import type { StateReader, StateWriter } from './state-codec.ts'
import { ValueRange } from './value-range.ts'

/** A point, and what is judged of it: the value itself, or the growth of a counter. */
export interface JudgedPoint {
  readonly timeMs: number
  readonly value: number
  readonly analysed: number
}

/** Turns scored points into events: decides what is an alarm within the budget, and what is learned from it. */
export class EventWatch {
  readonly judge = new AlarmJudge()
  /** What would have been normal at the last point; the caller clears it before each. */
  band: Band | undefined
  /** Whether the event under way has changed since the caller last cleared this. */
  changed = false
  readonly #intake: SeriesIntake
  readonly #budget: BudgetMeter
  readonly #events = new EventTracker()
  #range = new ValueRange()

  constructor(budget: FalseAlarmBudget, intake: SeriesIntake) {
    this.#budget = new BudgetMeter(budget)
    this.#intake = intake
  }

  /** Call with the time of the first point. */
  begin(timeMs: number): void {
    this.#budget.begin(timeMs)
  }

  /** The event under way; undefined when there is none to be believed. */
  current(periodMs: number | undefined): Finding | undefined {
    return this.#finding(true, periodMs)
  }

  /** Ends the event under way and forgets how far the values went: from now on something else is judged. */
  startAfresh(periodMs: number | undefined, found: Finding[]): void {
    const finding = this.#finding(false, periodMs)
    if (finding !== undefined) found.push(finding)
    this.#events.close()
    this.changed = false
    this.#range = new ValueRange()
  }

  /** Scores a point and takes it in; what it closes is added to `found`. `periodMs`: the season's, where there is one. */
  take(
    { timeMs, value, analysed }: JudgedPoint,
    scorer: DeviationScorer,
    periodMs: number | undefined,
    found: Finding[],
  ): void {
    const wasReady = scorer.ready
    const rate = this.#alarmRate
    const events = this.#events
    if (events.open && timeMs - events.lastFlaggedMs > this.#quietMs) this.#close(rate, periodMs, found)
    if (this.#intake.afterGap) scorer.forgetPrevious()
    const scaled = this.#intake.scaled(analysed)
    scorer.take(timeMs, scaled, this.#intake.resolution)
    if (!wasReady) return
    const learned = { intake: this.#intake, scorer, judge: this.judge, range: this.#range }
    const lenient = this.#budget.lenientRate(timeMs, this.#intake.count, this.#intake.stepMs)
    const seen = this.judge.judge(scorer.scores, lenient)
    const suspected = this.#farOut(scaled, seen, lenient, rate) ?? seen
    const decades = (suspected?.decades ?? 0) - Math.log10(lenient / rate)
    const limits = decades >= 0 ? rate : lenient
    const band = suspected && normalBand(learned, value, analysed, limits, suspected.channel)
    const plain = band !== undefined && liesOutside(value, band, CHANNELS[suspected!.channel]!)
    // An average may still be far when the point itself is back: that begins no event, and is not what one is about.
    const verdict = plain || events.open ? suspected : undefined
    if (this.judge.ready) this.band = normalBand(learned, value, analysed, rate)
    if (verdict === undefined || events.flagged > 50) this.#range.add(scaled)
    else this.#range.addOdd(scaled)
    if (verdict === undefined || band === undefined) {
      this.judge.learn(scorer.lessons)
      return
    }
    // What lasts is no longer an accident: from here on it is learned too.
    if (events.flagged > 50) this.judge.learnEvent(scorer.lessons, rate, this.#budget.overspent)
    const believed = events.confirmed
    const alone = decades >= 0 && !this.#budget.isNew(timeMs, this.#intake.count)
    const needed = alone ? 1 : this.#budget.pointsToConfirm(this.#intake.stepMs)
    const rarity = { ...verdict, decades: plain ? Math.max(0, decades) : -1 }
    events.flag({ timeMs, observed: value, ...band, ...rarity, scores: scorer.scores }, needed)
    if (!events.confirmed) return
    if (!believed) this.#budget.spend(timeMs)
    this.changed = true
  }

  /** The verdict on a value far outside all that was ever seen, where that is rarer than what the scores say; its decades count from the lenient rate. */
  #farOut(scaled: number, seen: Verdict | undefined, lenient: number, rate: number): Verdict | undefined {
    const beyond = this.#range.decadesBeyond(scaled)
    if (beyond === undefined) return undefined
    const decades = beyond + Math.log10(lenient / rate)
    if (seen !== undefined && seen.decades >= decades) return undefined
    return {
      channel: scaled > this.#range.ceiling ? 0 : 1,
      decades,
      probability: rate * 10 ** -beyond,
    }
  }

  #close(rate: number, periodMs: number | undefined, found: Finding[]): void {
    const finding = this.#finding(false, periodMs)
    // What was too short to be believed is part of what is usual here.
    if (finding === undefined) this.judge.learn(this.#events.peakScores)
    else {
      found.push(finding)
      this.judge.learnEvent(this.#events.peakScores, rate, this.#budget.overspent)
    }
    this.#events.close()
    this.#range.settle()
    this.changed = false
  }

  get #alarmRate(): number {
    return this.#budget.alarmRate(this.#intake.watermarkMs, this.#intake.count, this.#intake.stepMs)
  }

  /** How long nothing must be flagged for an event to be over. */
  get #quietMs(): number {
    const { stepMs } = this.#intake
    if (!this.#events.confirmed) return 3.5 * stepMs
    return Math.min(60 * stepMs, Math.max(5 * stepMs, this.#budget.periodMs / 56))
  }

  #finding(open: boolean, periodMs: number | undefined): Finding | undefined {
    return this.#events.finding(open, (event) =>
      explainEvent(event, {
        periodMs,
        budgetMs: this.#budget.effectivePeriodMs(this.#intake.stepMs),
        counter: this.#intake.counter,
      }),
    )
  }

  write(writer: StateWriter): void {
    for (const part of [this.#budget, this.#range, this.judge, this.#events]) part.write(writer)
  }

  read(reader: StateReader): void {
    for (const part of [this.#budget, this.#range, this.judge, this.#events]) part.read(reader)
  }
}

/** Whether a point shows by itself what it is taken for; a pattern need not. */
function liesOutside(value: number, { lower, upper }: Band, channel: Channel): boolean {
  if (channel === 'restless' || channel === 'frozen') return true
  const above = channel === 'above' || channel === 'jump-up' || channel === 'long-above'
  return above ? value > upper : value < lower
}
