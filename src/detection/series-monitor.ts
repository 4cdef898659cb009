import { NomalyError } from '../errors.ts'
import { AlarmJudge } from './alarm-judge.ts'
import { chooseAlgorithm, explainChoice, worthChanging } from './choose-algorithm.ts'
import type { Choice } from './choose-algorithm.ts'
import { looksLikeCounter } from './counter.ts'
import type { ConcreteAlgorithm, DetectorSettings } from './detector-settings.ts'
import { DeviationScorer } from './deviation-scorer.ts'
import { EventTracker } from './event-tracker.ts'
import type { EventFacts } from './event-tracker.ts'
import { explainEvent } from './explain-event.ts'
import type { BandColumns, Finding } from './finding.ts'
import { History } from './history.ts'
import { makeScorer, replayHistory } from './make-scorer.ts'
import { parameterOf } from './algorithms.ts'
import { SortedWindow } from './sorted-window.ts'
import { StateReader, StateWriter } from './state-codec.ts'

export type { Algorithm, DetectorSettings, FalseAlarmBudget } from './detector-settings.ts'
export type { BandColumns, Finding, Severity } from './finding.ts'

const VERSION = 1
const FIRST_POINTS = 48
/** What a `Date` can hold. */
const LARGEST_TIME_MS = 8.64e15
const LARGEST_VALUE = 1e150
const LARGEST_ALARM_RATE = 0.01
/** Over how many budget periods alarms are counted against the budget. */
const BUDGET_MEMORY = 4
const ALGORITHM_CODES: readonly ConcreteAlgorithm[] = ['robust-z', 'ewma', 'seasonal-residual']

/** The state of a monitor as plain JSON; what is inside is nobody's business but this version's. */
export interface MonitorSnapshot {
  readonly version: number
  readonly numbers: string
  readonly singles: string
}

/** What was picked for the series, and why in one sentence. */
export interface MonitorChoice {
  readonly algorithm: ConcreteAlgorithm
  readonly reason: string
}

interface Band {
  readonly expected: number
  readonly lower: number
  readonly upper: number
}

/** Watches one series, point by point; what it finds does not depend on how the points are spread over calls. */
export class SeriesMonitor {
  readonly #settings: DetectorSettings
  readonly #budgetMs: number
  readonly #history = new History()
  readonly #intervals = new SortedWindow(63)
  readonly #judge = new AlarmJudge()
  readonly #events = new EventTracker()
  readonly #firstTimes = new Float64Array(FIRST_POINTS)
  readonly #firstValues = new Float64Array(FIRST_POINTS)
  #scorer: DeviationScorer | undefined
  #choice: Choice | undefined
  #chosenStepMs = 0
  #count = 0
  #ignored = 0
  #watermarkMs = Number.NEGATIVE_INFINITY
  #previous = Number.NaN
  #previousMs = Number.NaN
  #resolution = Number.POSITIVE_INFINITY
  #counter = false
  #stepMs = 0
  #nextCheck = FIRST_POINTS
  #firstMs = 0
  #recentAlarms = 0
  #recentAlarmsMs = 0
  #band: Band | undefined

  constructor(settings: DetectorSettings) {
    this.#settings = settings
    this.#budgetMs = (settings.budget.perSeconds * 1000) / settings.budget.alarms
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
    return this.#watermarkMs === Number.NEGATIVE_INFINITY ? undefined : this.#watermarkMs
  }

  /** How many points were left out: not a finite number, late, or a double. */
  get ignored(): number {
    return this.#ignored
  }

  /** Takes points in, in ascending time, and answers each finding they opened, extended or closed, whole. Late points and non-finite values are ignored. */
  observe(timesMs: Float64Array, values: Float64Array): Finding[] {
    const found: Finding[] = []
    let changed = false
    for (let i = 0; i < timesMs.length; i++) {
      changed = this.#point(timesMs[i]!, values[i]!, found, changed)
    }
    const current = changed ? this.#events.finding(true, this.#explain) : undefined
    if (current !== undefined) found.push(current)
    return found
  }

  /** Like {@link observe}, and also writes what would have been normal at each point into the columns, which are as long as the points. */
  observeWithBand(timesMs: Float64Array, values: Float64Array, band: BandColumns): Finding[] {
    const found: Finding[] = []
    let changed = false
    for (let i = 0; i < timesMs.length; i++) {
      this.#band = undefined
      changed = this.#point(timesMs[i]!, values[i]!, found, changed)
      const here: Band = this.#band ?? {
        expected: Number.NaN,
        lower: Number.NaN,
        upper: Number.NaN,
      }
      band.timesMs[i] = timesMs[i]!
      band.expected[i] = here.expected
      band.lower[i] = here.lower
      band.upper[i] = here.upper
    }
    const current = changed ? this.#events.finding(true, this.#explain) : undefined
    if (current !== undefined) found.push(current)
    return found
  }

  /** The whole state, JSON-serialisable: {@link restore} continues exactly where this stands. */
  snapshot(): MonitorSnapshot {
    const writer = new StateWriter()
    this.#write(writer)
    return { version: VERSION, ...writer.finish() }
  }

  #point(timeMs: number, raw: number, found: Finding[], changed: boolean): boolean {
    if (!Number.isFinite(raw) || !(Math.abs(timeMs) <= LARGEST_TIME_MS) || timeMs <= this.#watermarkMs) {
      this.#ignored++
      return changed
    }
    const value = Math.max(-LARGEST_VALUE, Math.min(LARGEST_VALUE, raw))
    if (this.#watermarkMs !== Number.NEGATIVE_INFINITY) this.#intervals.push(timeMs - this.#watermarkMs)
    this.#watermarkMs = timeMs
    this.#count++
    if (this.#count <= FIRST_POINTS) {
      this.#firstTimes[this.#count - 1] = timeMs
      this.#firstValues[this.#count - 1] = value
      if (this.#count === FIRST_POINTS) this.#begin()
      return changed
    }
    if (this.#count % 64 === 0) this.#stepMs = this.#intervals.quantile(0.5)
    const analysed = this.#analysed(timeMs, value)
    if (analysed === undefined) return changed
    this.#history.add(timeMs, analysed)
    if (this.#count >= this.#nextCheck) this.#reconsider()
    return this.#judgePoint(timeMs, value, analysed, found, changed)
  }

  #begin(): void {
    this.#stepMs = this.#intervals.quantile(0.5)
    this.#firstMs = this.#firstTimes[0]!
    this.#counter = looksLikeCounter(this.#firstValues, FIRST_POINTS)
    this.#history.begin(this.#firstTimes[0]!, this.#stepMs)
    for (let i = 0; i < FIRST_POINTS; i++) {
      const analysed = this.#analysed(this.#firstTimes[i]!, this.#firstValues[i]!)
      if (analysed !== undefined) this.#history.add(this.#firstTimes[i]!, analysed)
    }
    this.#reconsider()
  }

  /** What is looked at: the value itself, or for a counter its growth over one usual step; undefined where there is none (after a reset). */
  #analysed(timeMs: number, value: number): number | undefined {
    const before = this.#previous
    const beforeMs = this.#previousMs
    this.#previous = value
    this.#previousMs = timeMs
    if (!this.#counter) {
      const difference = Math.abs(value - before)
      if (difference > 0 && difference < this.#resolution) this.#pendingResolution = difference
      return value
    }
    if (Number.isNaN(before) || value < before) return undefined
    return ((value - before) / (timeMs - beforeMs)) * this.#stepMs
  }

  #pendingResolution = Number.POSITIVE_INFINITY

  #reconsider(): void {
    this.#nextCheck = Math.ceil(this.#count * 1.3)
    const { algorithm } = this.#settings
    const bins = this.#history.bins()
    const seen = chooseAlgorithm(bins, this.#history.widthMs)
    const asked = parameterOf(this.#settings, 'periodSeconds') * 1000
    let next: Choice = { ...seen, algorithm: algorithm === 'auto' ? seen.algorithm : algorithm }
    if (algorithm === 'robust-z' || algorithm === 'ewma') next = { ...next, season: undefined }
    else if (asked > 0) {
      const enough = this.#history.spanMs >= 2 * asked
      next = {
        algorithm: 'seasonal-residual',
        season: enough ? { periodMs: asked, strength: 0 } : undefined,
        memory: seen.memory,
      }
    }
    if (this.#choice !== undefined && !worthChanging(next, this.#choice, bins, this.#history.widthMs)) return
    this.#choice = next
    this.#chosenStepMs = this.#stepMs
    this.#scorer = makeScorer(next, this.#settings, this.#chosenStepMs)
    replayHistory(this.#scorer, this.#judge, this.#history, next, this.#chosenStepMs)
  }

  #judgePoint(timeMs: number, value: number, analysed: number, found: Finding[], changed: boolean): boolean {
    const scorer = this.#scorer!
    const wasReady = scorer.ready
    const resolution = Number.isFinite(this.#resolution) ? this.#resolution : 0
    this.#resolution = Math.min(this.#resolution, this.#pendingResolution)
    const events = this.#events
    const gapMs = Math.min(60 * this.#stepMs, Math.max(5 * this.#stepMs, this.#budgetMs / 56))
    if (events.open && timeMs - events.lastFlaggedMs > gapMs) {
      found.push(events.finding(false, this.#explain)!)
      this.#judge.learnEvent(events.peakScores, this.#alarmRate, this.#overspent)
      events.close()
      changed = false
    }
    scorer.take(timeMs, analysed, resolution)
    if (!wasReady) return changed
    const verdict = this.#judge.judge(scorer.scores, this.#alarmRate)
    if (this.#judge.ready) this.#band = this.#bandAt(value, analysed)
    if (verdict === undefined) {
      this.#judge.learn(scorer.lessons)
      return changed
    }
    if (events.flagged > 50) this.#judge.learnEvent(scorer.lessons, this.#alarmRate, this.#overspent)
    if (!events.open) this.#countAlarm(timeMs)
    events.flag({
      timeMs,
      observed: value,
      ...this.#bandAt(value, analysed),
      ...verdict,
      scores: scorer.scores,
    })
    return true
  }

  get #alarmRate(): number {
    // What was seen of a series in its first days says little about its first weekend: speak up only for the plain cases.
    const known = Math.max(this.#count / 2000, (this.#watermarkMs - this.#firstMs) / 604_800_000)
    return Math.min(LARGEST_ALARM_RATE, this.#stepMs / this.#budgetMs) * Math.max(0.1, Math.min(1, known))
  }

  #countAlarm(timeMs: number): void {
    const passed = Math.min(
      1,
      this.#recentAlarms === 0
        ? 1
        : Math.exp(-(timeMs - this.#recentAlarmsMs) / (BUDGET_MEMORY * this.#budgetMs)),
    )
    this.#recentAlarms = this.#recentAlarms * passed + 1
    this.#recentAlarmsMs = timeMs
  }

  /** How far the alarms of the last budget periods exceed the budget: 0 within it, 1 at twice it or more. */
  get #overspent(): number {
    return Math.max(0, Math.min(1, this.#recentAlarms / BUDGET_MEMORY - 1))
  }

  #bandAt(value: number, analysed: number): Band {
    const { expected, scale } = this.#scorer!
    const rate = this.#alarmRate
    const shift = this.#counter ? value - analysed : 0
    return {
      expected: expected + shift,
      lower: expected - Math.max(0, this.#judge.limit(1, rate)) * scale + shift,
      upper: expected + Math.max(0, this.#judge.limit(0, rate)) * scale + shift,
    }
  }

  readonly #explain = (event: EventFacts): string =>
    explainEvent(event, {
      periodMs: this.#choice?.season?.periodMs,
      budgetMs: Math.max(this.#budgetMs, this.#stepMs / LARGEST_ALARM_RATE),
      counter: this.#counter,
    })

  #write(writer: StateWriter): void {
    for (const value of [
      this.#count,
      this.#ignored,
      this.#watermarkMs,
      this.#previous,
      this.#previousMs,
      this.#resolution,
    ])
      writer.number(value)
    for (const value of [this.#pendingResolution, this.#stepMs, this.#nextCheck, this.#chosenStepMs])
      writer.number(value)
    for (const value of [this.#recentAlarms, this.#recentAlarmsMs, this.#firstMs]) writer.number(value)
    writer.flag(this.#counter)
    this.#intervals.write(writer)
    const buffered = this.#choice === undefined ? this.#count : 0
    writer.numbers(this.#firstTimes, buffered)
    writer.numbers(this.#firstValues, buffered)
    writer.flag(this.#choice !== undefined)
    if (this.#choice === undefined) return
    const { algorithm, season, memory } = this.#choice
    for (const value of [
      ALGORITHM_CODES.indexOf(algorithm),
      season?.periodMs ?? 0,
      season?.strength ?? 0,
      memory,
    ])
      writer.number(value)
    this.#history.write(writer)
    this.#judge.write(writer)
    this.#events.write(writer)
    this.#scorer!.write(writer)
  }

  #read(reader: StateReader): void {
    this.#count = reader.number()
    this.#ignored = reader.number()
    this.#watermarkMs = reader.number()
    this.#previous = reader.number()
    this.#previousMs = reader.number()
    this.#resolution = reader.number()
    this.#pendingResolution = reader.number()
    this.#stepMs = reader.number()
    this.#nextCheck = reader.number()
    this.#chosenStepMs = reader.number()
    this.#recentAlarms = reader.number()
    this.#recentAlarmsMs = reader.number()
    this.#firstMs = reader.number()
    this.#counter = reader.flag()
    this.#intervals.read(reader)
    reader.numbers(this.#firstTimes)
    reader.numbers(this.#firstValues)
    if (!reader.flag()) return
    const algorithm = ALGORITHM_CODES[reader.number()] ?? 'robust-z'
    const periodMs = reader.number()
    const strength = reader.number()
    const memory = reader.number()
    this.#choice = {
      algorithm,
      season: periodMs === 0 ? undefined : { periodMs, strength },
      memory,
    }
    this.#history.read(reader)
    this.#judge.read(reader)
    this.#events.read(reader)
    this.#scorer = makeScorer(this.#choice, this.#settings, this.#chosenStepMs)
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
