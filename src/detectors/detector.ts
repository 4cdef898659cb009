import type { DetectorSettings } from '../detection/detector-settings.ts'

/** A named way of watching a series: an algorithm with its parameters and the false alarms that are accepted. */
export interface Detector extends DetectorSettings {
  readonly id: string
  readonly name: string
  readonly createdAt: Date
  readonly updatedAt: Date
}
