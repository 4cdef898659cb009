/** One point at which a detector raised an alarm, `index` into the file's points, `score` to be held against the threshold. */
export interface NabAlarm {
  readonly index: number
  readonly score: number
}

/** One file: how many points it has, the labelled windows as inclusive point indexes, ascending, and the alarms raised. */
export interface NabFile {
  readonly name: string
  readonly points: number
  readonly windows: readonly (readonly [first: number, last: number])[]
  readonly alarms: readonly NabAlarm[]
}

/** What a detection, a false alarm and a miss weigh. */
export interface NabProfile {
  readonly truePositive: number
  readonly falsePositive: number
  readonly falseNegative: number
}

/** The three application profiles of Lavin and Ahmad (ICMLA 2015). */
export const NAB_PROFILES = {
  standard: { truePositive: 1, falsePositive: 0.11, falseNegative: 1 },
  rewardLowFalsePositives: { truePositive: 1, falsePositive: 0.22, falseNegative: 1 },
  rewardLowFalseNegatives: { truePositive: 1, falsePositive: 0.11, falseNegative: 2 },
} as const satisfies Record<string, NabProfile>

/** NAB's scaled sigmoid: 1 long before, 0 at 0, -1 beyond 3. */
export function nabSigmoid(x: number): number {
  return x > 3 ? -1 : 2 / (1 + Math.exp(5 * x)) - 1
}

/** How many points at the beginning of a file are not scored: 15 %, at most 750. */
export function probationPoints(points: number): number {
  return Math.floor(Math.min(0.15 * points, 0.15 * 5000))
}

/** The raw score of one file with the alarms whose score reaches `threshold`. */
export function rawNabScore(file: NabFile, threshold: number, profile: NabProfile): number {
  const probation = probationPoints(file.points)
  const flagged = new Set(file.alarms.filter((alarm) => alarm.score >= threshold).map((alarm) => alarm.index))
  const caught = new Map<number, number>()
  let raw = 0
  for (const index of flagged) {
    if (index < probation) continue
    const inside = file.windows.findIndex(([first, last]) => index >= first && index <= last)
    if (inside >= 0) caught.set(inside, Math.min(index, caught.get(inside) ?? index))
    else raw += profile.falsePositive * falsePositiveWeight(file, index)
  }
  file.windows.forEach((window, at) => {
    const index = caught.get(at)
    raw +=
      index === undefined ? -profile.falseNegative : profile.truePositive * truePositiveWeight(window, index)
  })
  return raw
}

/** NAB's score of all files at one threshold: 0 for a detector that never speaks, 100 for one that catches every window at its first point. */
export function nabScore(files: readonly NabFile[], threshold: number, profile: NabProfile): number {
  const windows = files.reduce((sum, file) => sum + file.windows.length, 0)
  const raw = files.reduce((sum, file) => sum + rawNabScore(file, threshold, profile), 0)
  const nothing = -profile.falseNegative * windows
  const perfect = profile.truePositive * windows
  return (100 * (raw - nothing)) / (perfect - nothing)
}

/** The one threshold for all files that scores best, among the scores that occur (and one above them all). */
export function bestThreshold(
  files: readonly NabFile[],
  profile: NabProfile,
): { threshold: number; score: number } {
  const candidates = [...new Set(files.flatMap((file) => file.alarms.map((alarm) => alarm.score)))]
  let best = {
    threshold: Number.POSITIVE_INFINITY,
    score: nabScore(files, Number.POSITIVE_INFINITY, profile),
  }
  for (const threshold of candidates) {
    const score = nabScore(files, threshold, profile)
    if (score > best.score) best = { threshold, score }
  }
  return best
}

function truePositiveWeight([first, last]: readonly [number, number], index: number): number {
  const width = last - first + 1
  return nabSigmoid(-(last - index + 1) / width) / nabSigmoid(-1)
}

function falsePositiveWeight(file: NabFile, index: number): number {
  const previous = file.windows.findLast(([, last]) => last < index)
  if (previous === undefined) return -1
  const width = previous[1] - previous[0] + 1
  // A window of one point has no width to measure by: anything after it is as false as can be.
  return width === 1 ? -1 : nabSigmoid((index - previous[1]) / (width - 1))
}
