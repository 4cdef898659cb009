import type { rebuildMonitor } from '../../../../jobs/watch-series.ts'
import {
  type Deviation,
  type GoldenHour,
  replayGoldenHour,
} from '../../../../workflows/replay-golden-hour.ts'
import { LISTED, type ProofCheck, type ProofFinding } from '../proof-check.ts'

/** Replays what detectors did lately, and compares what they find with what is recorded. @param rebuild for tests. */
export function goldenHour(rebuild?: typeof rebuildMonitor): ProofCheck {
  return {
    name: 'golden hour',
    shows: 'detectors, taken over the same points again, find exactly what they found',
    async run({ core, engine, signal, progress }) {
      const hour = await replayGoldenHour({
        database: core.database,
        metrics: engine,
        signal,
        progress: (points) => progress(`${points} points`),
        ...(rebuild === undefined ? {} : { rebuild }),
      })
      return judge(hour)
    },
  }
}

function judge(hour: GoldenHour): ProofFinding {
  const { identical, points, findings, lostTotal, changedTotal, late, unreadable, leftOut } = hour
  const beside = [
    ...(late > 0
      ? [`Into ${late} series points came late, behind the detector: there is nothing to compare.`]
      : []),
    ...(unreadable > 0 ? [`States of ${unreadable} series are of another version of the detectors.`] : []),
    ...(leftOut > 0 ? [`${leftOut} series were left out: there were too many points.`] : []),
  ]
  if (lostTotal + changedTotal > 0)
    return {
      verdict: 'fail',
      says: [
        ...(lostTotal > 0 ? [`In ${lostTotal} series points are missing that detectors have seen.`] : []),
        ...(changedTotal > 0
          ? [`In ${changedTotal} series detectors find something else in the same points.`]
          : []),
      ].join(' '),
      details: [...[...hour.lost, ...hour.changed].map(sayDeviation), ...beside].slice(0, LISTED),
    }
  if (identical === 0)
    return {
      verdict: 'warn',
      says: 'There was nothing to replay: no detector has worked lately, or no states of theirs were set aside.',
      details: beside,
    }
  const span = `from ${sayTime(hour.fromMs)} to ${sayTime(hour.toMs)}`
  return {
    verdict: unreadable > 0 ? 'warn' : 'ok',
    says: `${points} points of ${identical} series, ${span}, were replayed: all ${findings} findings are the same.`,
    details: beside,
  }
}

function sayDeviation({ jobName, seriesId, says }: Deviation): string {
  return `job ${jobName}, series ${seriesId}: ${says}`
}

function sayTime(epochMs: number | undefined): string {
  return epochMs === undefined ? '–' : new Date(epochMs).toISOString()
}
