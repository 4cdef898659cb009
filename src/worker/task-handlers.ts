import type { TaskHandler, TaskName } from '../queue/task-queue.ts'
import type { Store } from '../store/store.ts'
import { advanceStream } from '../workflows/advance-stream.ts'
import { callWebhook } from '../workflows/call-webhook.ts'
import { runDetection } from '../workflows/run-detection.ts'

export interface TaskContext {
  readonly store: Store
  readonly webhookPrivateAddresses: 'allow' | 'refuse'
}

/** What is done for each kind of task. */
export function taskHandlers(
  { store, webhookPrivateAddresses }: TaskContext,
  workerId: string,
): { [N in TaskName]: TaskHandler<N> } {
  /** Streaming jobs that this process is busy with: a second task for one waits for the first. */
  const streams = new Map<string, Promise<void>>()
  return {
    'run-detection': ({ tenantId, runId }, signal) =>
      runDetection({ store, scope: { tenantId }, runId, workerId, signal }),

    'advance-stream': async ({ tenantId, jobId }, signal) => {
      const before = streams.get(jobId) ?? Promise.resolve()
      const advance = before
        .catch(() => {})
        .then(() => advanceStream({ store, scope: { tenantId }, jobId, workerId, signal }))
      streams.set(jobId, advance)
      try {
        await advance
      } finally {
        if (streams.get(jobId) === advance) streams.delete(jobId)
      }
    },

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
