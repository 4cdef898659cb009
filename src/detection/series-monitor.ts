import { NomalyError } from '../errors.ts'
import { explainChoice, nextChoice, worthChanging } from './choose-algorithm.ts'
import { readChoice, writeChoice } from './choice-state.ts'
import type { Choice, Past } from './choose-algorithm.ts'
import type { ConcreteAlgorithm, DetectorSettings } from './detector-settings.ts'
import type { DeviationScorer } from './deviation-scorer.ts'
import { EventWatch } from './event-watch.ts'
import { UNKNOWN_BAND } from './finding.ts'
import type { BandColumns, Finding } from './finding.ts'
import { History } from './history.ts'
import { makeScorer } from './make-scorer.ts'
import { RecentPoints } from './recent-points.ts'
import { replayPast } from './replay-past.ts'
import { SeriesIntake } from './series-intake.ts'
import { StateReader, StateWriter } from './state-codec.ts'
import type { WrittenState } from './state-codec.ts'

export type { Algorithm, DetectorSettings, FalseAlarmBudget } from './detector-settings.ts'
export type { BandColumns, Finding, Severity } from './finding.ts'

const VERSION = 5
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
  readonly #intake = new SeriesIntake()
  #history = new History()
  #recent = new RecentPoints()
  readonly #watch: EventWatch
  readonly #firstTimes = new Float64Array(FIRST_POINTS)
  readonly #firstValues = new Float64Array(FIRST_POINTS)
  #scorer: DeviationScorer | undefined
  #choice: Choice | undefined
  #chosenStepMs = 0
  #gathered = 0
  #nextCheck = FIRST_POINTS

  constructor(settings: DetectorSettings) {
    this.#settings = settings
    this.#watch = new EventWatch(settings.budget, this.#intake)
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
    this.#watch.changed = false
    for (let i = 0; i < timesMs.length; i++) {
      this.#watch.band = undefined
      this.#point(timesMs[i]!, values[i]!, found)
      if (band === undefined) continue
      const here = this.#watch.band ?? UNKNOWN_BAND
      band.timesMs[i] = timesMs[i]!
      band.expected[i] = here.expected
      band.lower[i] = here.lower
      band.upper[i] = here.upper
    }
    const current = this.#watch.changed ? this.#watch.current(this.#periodMs) : undefined
    if (current !== undefined) found.push(current)
    return found
  }

  get #periodMs(): number | undefined {
    return this.#choice?.season?.periodMs
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
    this.#watch.take({ timeMs, value, analysed }, this.#scorer!, this.#periodMs, found)
  }

  /** What looked like a counter is none: all that was learned of its growth says nothing of its values. */
  #startAfresh(timeMs: number, value: number, found: Finding[]): void {
    this.#watch.startAfresh(this.#periodMs, found)
    this.#intake.stopCounting()
    this.#choice = undefined
    this.#scorer = undefined
    this.#history = new History()
    this.#recent = new RecentPoints()
    this.#firstTimes[0] = timeMs
    this.#firstValues[0] = value
    this.#gathered = 1
  }

  #begin(): void {
    this.#intake.begin(this.#firstValues)
    if (this.#intake.count === FIRST_POINTS) this.#watch.begin(this.#firstTimes[0]!)
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
    replayPast(this.#scorer, this.#watch.judge, past, this.#recent, next, this.#intake.resolution)
  }

  #write(writer: StateWriter): void {
    this.#intake.write(writer)
    this.#watch.write(writer)
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
    this.#scorer!.write(writer)
  }

  #read(reader: StateReader): void {
    this.#intake.read(reader)
    this.#watch.read(reader)
    this.#nextCheck = reader.number()
    this.#chosenStepMs = reader.number()
    this.#gathered = reader.numbers(this.#firstTimes)
    reader.numbers(this.#firstValues)
    if (!reader.flag()) return
    this.#gathered = FIRST_POINTS
    this.#choice = readChoice(reader)
    this.#history.read(reader)
    this.#recent.read(reader)
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
