import type { FalseAlarmBudget } from './detector-settings.ts'
import type { StateReader, StateWriter } from './state-codec.ts'

/**
 * Eight ways of being unusual share the budget as if they never alarmed together; they do, so that part of it were never spent. With this factor the
 * realised rate is 0.84 of the asked one on generated healthy series and 0.95 on NAB (bench/nab/score-offline.ts).
 */
const OVERLAP = 1.25
const LARGEST_ALARM_RATE = 0.01
/** Over how many budget periods alarms are counted against the budget. */
const MEMORY_PERIODS = 4
/** Points that come this often within the time of one false alarm are fast. */
const PERIOD_STEPS = 20_000
const MOST_TO_CONFIRM = 6
const LENIENCE = 4
const LENIENT_SHARE = 0.3
const WEEK_MS = 604_800_000

/** Turns the user's budget into an alarm rate per point, and keeps account of what was spent. */
export class BudgetMeter {
  /** The time in which the budget allows one false alarm. */
  readonly periodMs: number
  #firstMs = Number.NaN
  #recentAlarms = 0
  #recentAlarmsMs = 0

  constructor(budget: FalseAlarmBudget) {
    this.periodMs = (budget.perSeconds * 1000) / budget.alarms
  }

  /** Call with the first point. */
  begin(timeMs: number): void {
    this.#firstMs = timeMs
  }

  /**
   * How many points an event of {@link lenientRate} must have to be believed. More than one where points come much faster than alarms are wanted: there
   * a single threshold would lie out of reach of what lasts, and waiting for some more points costs seconds.
   */
  pointsToConfirm(stepMs: number): number {
    return Math.max(1, Math.min(MOST_TO_CONFIRM, Math.floor(this.periodMs / PERIOD_STEPS / stepMs)))
  }

  /** Whether so little is known of a series that one odd point proves nothing. */
  isNew(timeMs: number, points: number): boolean {
    return this.#known(timeMs, points) < 1
  }

  /** The rate per point at which a point may belong to an event that lasts: while little is known, such as was seldom seen among the points so far. */
  lenientRate(timeMs: number, points: number, stepMs: number): number {
    const strict = this.alarmRate(timeMs, points, stepMs)
    if (this.pointsToConfirm(stepMs) === 1) return strict
    return Math.max(LENIENCE * strict, this.isNew(timeMs, points) ? LENIENT_SHARE / points : 0)
  }

  /**
   * False alarms allowed per point: never more than one in a hundred, and fewer while little is known, because the first days of a series say little
   * about its first weekend.
   */
  alarmRate(timeMs: number, points: number, stepMs: number): number {
    const known = Math.max(0.1, Math.min(1, this.#known(timeMs, points)))
    return Math.min(LARGEST_ALARM_RATE, (OVERLAP * stepMs) / this.periodMs) * known
  }

  #known(timeMs: number, points: number): number {
    return Math.max(points / 2000, (timeMs - this.#firstMs) / WEEK_MS)
  }

  /** How long it takes for one false alarm at the rate that is really used. */
  effectivePeriodMs(stepMs: number): number {
    return Math.max(this.periodMs, stepMs / LARGEST_ALARM_RATE)
  }

  spend(timeMs: number): void {
    const passed = Math.exp(-(timeMs - this.#recentAlarmsMs) / (MEMORY_PERIODS * this.periodMs))
    this.#recentAlarms = this.#recentAlarms === 0 ? 1 : this.#recentAlarms * Math.min(1, passed) + 1
    this.#recentAlarmsMs = timeMs
  }

  /** How far the alarms of the last budget periods exceed the budget: 0 within it, 1 at twice it or more. */
  get overspent(): number {
    return Math.max(0, Math.min(1, this.#recentAlarms / MEMORY_PERIODS - 1))
  }

  write(writer: StateWriter): void {
    for (const value of [this.#firstMs, this.#recentAlarms, this.#recentAlarmsMs]) writer.number(value)
  }

  read(reader: StateReader): void {
    this.#firstMs = reader.number()
    this.#recentAlarms = reader.number()
    this.#recentAlarmsMs = reader.number()
  }
}
