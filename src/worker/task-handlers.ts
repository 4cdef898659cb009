import type { TaskHandler, TaskName } from '../queue/task-queue.ts'
import type { Store } from '../store/store.ts'
import { advanceStream } from '../workflows/advance-stream.ts'
import { callWebhook } from '../workflows/call-webhook.ts'
import { runBackfill } from '../workflows/run-backfill.ts'
import { runDetection } from '../workflows/run-detection.ts'

export interface TaskContext {
  readonly store: Store
  readonly webhookPrivateAddresses: 'allow' | 'refuse'
}

/** What is done for each kind of task. */
export function taskHandlers(
  { store, webhookPrivateAddresses }: TaskContext,
  workerId: string,
  /** Filled with the runs that are being executed. */
  runsAtWork: Set<string>,
): { [N in TaskName]: TaskHandler<N> } {
  /** Streaming jobs that this process is busy with, and whether there is more for them since. */
  const streams = new Map<string, { again: boolean }>()
  return {
    'run-detection': async ({ tenantId, runId }, signal) => {
      // A second task for it was made when this one seemed lost: it is not.
      if (runsAtWork.has(runId)) return
      runsAtWork.add(runId)
      try {
        await runDetection({ store, scope: { tenantId }, runId, workerId, signal })
      } finally {
        runsAtWork.delete(runId)
      }
    },

    'advance-stream': async ({ tenantId, jobId }, signal) => {
      const busy = streams.get(jobId)
      // One that waited here would keep other jobs from their turn.
      if (busy !== undefined) {
        busy.again = true
        return
      }
      const own = { again: true }
      streams.set(jobId, own)
      try {
        while (own.again && !signal.aborted) {
          own.again = false
          await advanceStream({ store, scope: { tenantId }, jobId, workerId, signal })
        }
      } finally {
        streams.delete(jobId)
      }
    },

    'run-backfill': ({ tenantId, backfillId }, signal) =>
      runBackfill({ store, scope: { tenantId }, backfillId, signal }),

    'drop-source': async ({ tenantId, sourceId }) => {
      await store.metrics.dropSource({ tenantId }, sourceId)
    },

    'deliver-webhook': ({ tenantId, anomalyId, deliveryId }, signal) =>
      callWebhook({
        store,
        scope: { tenantId },
        anomalyId,
        deliveryId,
        privateAddresses: webhookPrivateAddresses,
        signal,
      }),
  }
}
