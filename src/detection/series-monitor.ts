import { NomalyError } from '../errors.ts'
import { AlarmJudge } from './alarm-judge.ts'
import type { Verdict } from './alarm-judge.ts'
import { BudgetMeter } from './budget-meter.ts'
import { explainChoice, nextChoice, worthChanging } from './choose-algorithm.ts'
import { readChoice, writeChoice } from './choice-state.ts'
import type { Choice, Past } from './choose-algorithm.ts'
import type { ConcreteAlgorithm, DetectorSettings } from './detector-settings.ts'
import type { DeviationScorer } from './deviation-scorer.ts'
import { EventTracker } from './event-tracker.ts'
import type { EventFacts } from './event-tracker.ts'
import { explainEvent } from './explain-event.ts'
import { UNKNOWN_BAND } from './finding.ts'
import type { Band, BandColumns, Finding } from './finding.ts'
import { History } from './history.ts'
import { makeScorer } from './make-scorer.ts'
import { normalBand } from './normal-band.ts'
import { RecentPoints } from './recent-points.ts'
import { replayPast } from './replay-past.ts'
import { SeriesIntake } from './series-intake.ts'
import { StateReader, StateWriter } from './state-codec.ts'
import type { WrittenState } from './state-codec.ts'
import { ValueRange } from './value-range.ts'

export type { Algorithm, DetectorSettings, FalseAlarmBudget } from './detector-settings.ts'
export type { BandColumns, Finding, Severity } from './finding.ts'

const VERSION = 4
const FIRST_POINTS = 48

/** The state of a monitor as plain JSON; what is inside is nobody's business but this version's. */
export interface MonitorSnapshot extends WrittenState {
  readonly version: number
}

/** What was picked for the series, and why in one sentence. */
export interface MonitorChoice {
  readonly algorithm: ConcreteAlgorithm
  readonly reason: string
}

/** Watches one series, point by point; what it finds does not depend on how the points are spread over calls. */
export class SeriesMonitor {
  readonly #settings: DetectorSettings
  readonly #budget: BudgetMeter
  readonly #intake = new SeriesIntake()
  #history = new History()
  #recent = new RecentPoints()
  #range = new ValueRange()
  readonly #judge = new AlarmJudge()
  readonly #events = new EventTracker()
  readonly #firstTimes = new Float64Array(FIRST_POINTS)
  readonly #firstValues = new Float64Array(FIRST_POINTS)
  #scorer: DeviationScorer | undefined
  #choice: Choice | undefined
  #chosenStepMs = 0
  #gathered = 0
  #nextCheck = FIRST_POINTS
  #band: Band | undefined
  #changed = false

  constructor(settings: DetectorSettings) {
    this.#settings = settings
    this.#budget = new BudgetMeter(settings.budget)
  }

  /** Continues from a snapshot taken under the same settings; throws `invalid_input` on an unknown version or a damaged state. */
  static restore(settings: DetectorSettings, snapshot: MonitorSnapshot): SeriesMonitor {
    if (snapshot.version !== VERSION) {
      throw new NomalyError(
        'invalid_input',
        `The saved detector state has version ${snapshot.version}; this program reads version ${VERSION}.`,
        {
          hint: 'Discard it and let the detector read the series again from the start.',
        },
      )
    }
    const monitor = new SeriesMonitor(settings)
    monitor.#read(new StateReader(snapshot))
    return monitor
  }

  /** The algorithm in use and why; undefined while still deciding. */
  get choice(): MonitorChoice | undefined {
    if (this.#choice === undefined) return undefined
    return {
      algorithm: this.#choice.algorithm,
      reason: explainChoice(this.#choice, this.#settings.algorithm !== 'auto'),
    }
  }

  /** Time of the last point taken in. */
  get watermarkMs(): number | undefined {
    return this.#intake.count === 0 ? undefined : this.#intake.watermarkMs
  }

  /** How many points were left out: not a finite number, late, or a double. */
  get ignored(): number {
    return this.#intake.ignored
  }

  /** Takes points in, in ascending time, and answers each finding they opened, extended or closed, whole. Late points and non-finite values are ignored. */
  observe(timesMs: Float64Array, values: Float64Array): Finding[] {
    return this.observeWithBand(timesMs, values, undefined)
  }

  /** Like {@link observe}, and also writes what would have been normal at each point into the columns, which are as long as the points. */
  observeWithBand(timesMs: Float64Array, values: Float64Array, band: BandColumns | undefined): Finding[] {
    const found: Finding[] = []
    this.#changed = false
    for (let i = 0; i < timesMs.length; i++) {
      this.#band = undefined
      this.#point(timesMs[i]!, values[i]!, found)
      if (band === undefined) continue
      const here = this.#band ?? UNKNOWN_BAND
      band.timesMs[i] = timesMs[i]!
      band.expected[i] = here.expected
      band.lower[i] = here.lower
      band.upper[i] = here.upper
    }
    const current = this.#changed ? this.#events.finding(true, this.#explain) : undefined
    if (current !== undefined) found.push(current)
    return found
  }

  /** The whole state, JSON-serialisable: {@link restore} continues exactly where this stands. */
  snapshot(): MonitorSnapshot {
    const writer = new StateWriter()
    this.#write(writer)
    return { version: VERSION, ...writer.finish() }
  }

  #point(timeMs: number, raw: number, found: Finding[]): void {
    const value = this.#intake.accept(timeMs, raw)
    if (value === undefined) return
    const { count } = this.#intake
    if (this.#gathered < FIRST_POINTS) {
      this.#firstTimes[this.#gathered] = timeMs
      this.#firstValues[this.#gathered++] = value
      if (this.#gathered === FIRST_POINTS) this.#begin()
      return
    }
    const analysed = this.#intake.analyse(timeMs, value)
    if (this.#intake.disproved) {
      this.#startAfresh(timeMs, value, found)
      return
    }
    if (analysed === undefined) return
    const scaled = this.#intake.scaled(analysed)
    this.#history.add(timeMs, scaled)
    if (count >= this.#nextCheck) this.#reconsider()
    this.#recent.add(timeMs, scaled)
    this.#judgePoint(timeMs, value, analysed, found)
  }

  /** What looked like a counter is none: all that was learned of its growth says nothing of its values. */
  #startAfresh(timeMs: number, value: number, found: Finding[]): void {
    const finding = this.#events.finding(false, this.#explain)
    if (finding !== undefined) found.push(finding)
    this.#events.close()
    this.#changed = false
    this.#intake.stopCounting()
    this.#choice = undefined
    this.#scorer = undefined
    this.#history = new History()
    this.#recent = new RecentPoints()
    this.#range = new ValueRange()
    this.#firstTimes[0] = timeMs
    this.#firstValues[0] = value
    this.#gathered = 1
  }

  #begin(): void {
    this.#intake.begin(this.#firstValues)
    if (this.#intake.count === FIRST_POINTS) this.#budget.begin(this.#firstTimes[0]!)
    this.#history.begin(this.#firstTimes[0]!, this.#intake.stepMs)
    this.#recent.begin(this.#firstTimes[0]!, this.#intake.stepMs)
    for (let i = 0; i < FIRST_POINTS; i++) {
      const analysed = this.#intake.analyse(this.#firstTimes[i]!, this.#firstValues[i]!)
      if (analysed !== undefined) this.#history.add(this.#firstTimes[i]!, this.#intake.scaled(analysed))
    }
    this.#reconsider()
  }

  #reconsider(): void {
    this.#nextCheck = Math.ceil(this.#intake.count * 1.3)
    const { stepMs } = this.#intake
    const past: Past = { coarse: this.#history.bins(), fine: this.#recent.bins(), stepMs }
    const next = nextChoice(this.#settings, past)
    if (this.#choice !== undefined && !worthChanging(next, this.#choice, past)) return
    this.#choice = next
    this.#chosenStepMs = stepMs
    this.#scorer = makeScorer(next, this.#settings, stepMs, this.#intake.roundingError)
    replayPast(this.#scorer, this.#judge, past, this.#recent, next, this.#intake.resolution)
  }

  #judgePoint(timeMs: number, value: number, analysed: number, found: Finding[]): void {
    const scorer = this.#scorer!
    const wasReady = scorer.ready
    const rate = this.#alarmRate
    const events = this.#events
    if (events.open && timeMs - events.lastFlaggedMs > this.#quietMs) this.#close(rate, found)
    if (this.#intake.afterGap) scorer.forgetPrevious()
    const scaled = this.#intake.scaled(analysed)
    scorer.take(timeMs, scaled, this.#intake.resolution)
    if (!wasReady) return
    const lenient = this.#budget.lenientRate(timeMs, this.#intake.count, this.#intake.stepMs)
    const seen = this.#judge.judge(scorer.scores, lenient)
    const verdict = this.#farOut(scaled, seen, lenient, rate) ?? seen
    if (this.#judge.ready) this.#band = this.#bandAt(value, analysed, rate)
    if (verdict === undefined || events.flagged > 50) this.#range.add(scaled)
    else this.#range.addOdd(scaled)
    if (verdict === undefined) {
      this.#judge.learn(scorer.lessons)
      return
    }
    // What lasts is no longer an accident: from here on it is learned too.
    if (events.flagged > 50) this.#judge.learnEvent(scorer.lessons, rate, this.#budget.overspent)
    const believed = events.confirmed
    const decades = verdict.decades - Math.log10(lenient / rate)
    const alone = decades >= 0 && !this.#budget.isNew(timeMs, this.#intake.count)
    const needed = alone ? 1 : this.#budget.pointsToConfirm(this.#intake.stepMs)
    const band = this.#bandAt(value, analysed, decades >= 0 ? rate : lenient, verdict.channel)
    const rarity = { ...verdict, decades: Math.max(0, decades) }
    events.flag({ timeMs, observed: value, ...band, ...rarity, scores: scorer.scores }, needed)
    if (!events.confirmed) return
    if (!believed) this.#budget.spend(timeMs)
    this.#changed = true
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

  #close(rate: number, found: Finding[]): void {
    const finding = this.#events.finding(false, this.#explain)
    // What was too short to be believed is part of what is usual here.
    if (finding === undefined) this.#judge.learn(this.#events.peakScores)
    else {
      found.push(finding)
      this.#judge.learnEvent(this.#events.peakScores, rate, this.#budget.overspent)
    }
    this.#events.close()
    this.#range.settle()
    this.#changed = false
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

  #bandAt(value: number, analysed: number, rate: number, channel?: number): Band {
    const learned = {
      intake: this.#intake,
      scorer: this.#scorer!,
      judge: this.#judge,
      range: this.#range,
    }
    return normalBand(learned, value, analysed, rate, channel)
  }

  readonly #explain = (event: EventFacts): string =>
    explainEvent(event, {
      periodMs: this.#choice?.season?.periodMs,
      budgetMs: this.#budget.effectivePeriodMs(this.#intake.stepMs),
      counter: this.#intake.counter,
    })

  #write(writer: StateWriter): void {
    this.#intake.write(writer)
    this.#budget.write(writer)
    writer.number(this.#nextCheck)
    writer.number(this.#chosenStepMs)
    const buffered = this.#choice === undefined ? this.#gathered : 0
    writer.numbers(this.#firstTimes, buffered)
    writer.numbers(this.#firstValues, buffered)
    writer.flag(this.#choice !== undefined)
    if (this.#choice === undefined) return
    writeChoice(this.#choice, writer)
    this.#history.write(writer)
    this.#recent.write(writer)
    this.#range.write(writer)
    this.#judge.write(writer)
    this.#events.write(writer)
    this.#scorer!.write(writer)
  }

  #read(reader: StateReader): void {
    this.#intake.read(reader)
    this.#budget.read(reader)
    this.#nextCheck = reader.number()
    this.#chosenStepMs = reader.number()
    this.#gathered = reader.numbers(this.#firstTimes)
    reader.numbers(this.#firstValues)
    if (!reader.flag()) return
    this.#gathered = FIRST_POINTS
    this.#choice = readChoice(reader)
    this.#history.read(reader)
    this.#recent.read(reader)
    this.#range.read(reader)
    this.#judge.read(reader)
    this.#events.read(reader)
    this.#scorer = makeScorer(this.#choice, this.#settings, this.#chosenStepMs, this.#intake.roundingError)
    this.#scorer.read(reader)
  }
}

/** Runs a whole series at once: every finding in its final form, what was picked, and on request what would have been normal at each point. */
export function detectSeries(
  settings: DetectorSettings,
  timesMs: Float64Array,
  values: Float64Array,
  options: { readonly band?: boolean } = {},
): { findings: Finding[]; choice: MonitorChoice | undefined; band?: BandColumns } {
  const monitor = new SeriesMonitor(settings)
  if (options.band !== true) return { findings: monitor.observe(timesMs, values), choice: monitor.choice }
  const column = (): Float64Array => new Float64Array(timesMs.length)
  const band: BandColumns = {
    timesMs: column(),
    expected: column(),
    lower: column(),
    upper: column(),
  }
  const findings = monitor.observeWithBand(timesMs, values, band)
  return { findings, choice: monitor.choice, band }
}
