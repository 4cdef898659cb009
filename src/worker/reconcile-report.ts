import type { Logger } from '../telemetry/logger.ts'
import type { ProcessMetrics } from '../telemetry/process-metrics.ts'
import type { ReconcileReport } from '../workflows/reconcile.ts'

/** Counts and logs what rounds of reconciling do; doubts are told once, until they change. */
export function reconcileReporter(
  metrics: ProcessMetrics,
  logger: Logger,
): (report: ReconcileReport | undefined) => void {
  let told = ''
  return (report) => {
    if (report === undefined) return
    const { found, removed, doubts } = report
    metrics.orphansFound.set({ what: 'source' }, found.sources)
    metrics.orphansFound.set({ what: 'detector-state' }, found.detectorStates)
    metrics.orphansRemoved.inc({ what: 'source' }, removed.sources)
    metrics.orphansRemoved.inc({ what: 'detector-state' }, removed.detectorStates)
    metrics.reconcileHalted.set(doubts.length > 0 ? 1 : 0)
    if (removed.sources > 0)
      logger.warn({ sources: removed.sources }, 'points of datasets that are gone are being removed')
    if (removed.detectorStates > 0)
      logger.warn(
        { detectorStates: removed.detectorStates },
        'what detectors had learnt of series that are gone was removed',
      )
    const doubt = doubts.join(' ')
    if (doubt !== '' && told === '') logger.warn(`${doubt} Nothing that is left over is removed meanwhile.`)
    told = doubt
  }
}
