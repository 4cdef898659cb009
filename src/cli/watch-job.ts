import { setTimeout as sleep } from 'node:timers/promises'
import { NomalyError } from '../errors.ts'
import type { ApiClient } from './api-client.ts'
import type { Anomaly, Job } from './api-entities.ts'
import { count, formatTime, seriesName } from './format-cells.ts'
import { note, paint, print, printJson, terminalWidth, type OutputFormat } from './output.ts'
import { Progress } from './progress.ts'
import { SEVERITY_STYLES } from './series-plot.ts'
import { wrapped } from './wrap-text.ts'

/** Looked at this often even without an event: an event may be lost with its connection. */
const POLL_MS = 2000
const RECONNECT_MS = 1000
const ANOMALIES_AT_ONCE = 200

/** Follows a job until it ends, or (one that never ends) until the signal; prints its anomalies as they are found. */
export async function watchJob(
  client: ApiClient,
  jobId: string,
  output: OutputFormat,
  signal: AbortSignal,
): Promise<void> {
  const ending = new AbortController()
  const doorbell = new Doorbell()
  const listening = listen(client, doorbell, AbortSignal.any([signal, ending.signal]))
  const seen = new Set<string>()
  let progress: Progress | undefined
  try {
    for (;;) {
      const job = await client.get<Job>(`/v1/jobs/${encodeURIComponent(jobId)}`)
      const found = await client.list<Anomaly>('/v1/anomalies', { jobId: job.id }, ANOMALIES_AT_ONCE)
      for (const anomaly of found.toReversed()) {
        if (seen.has(anomaly.id)) continue
        seen.add(anomaly.id)
        progress?.stop()
        progress = undefined
        printAnomaly(anomaly, output)
      }
      const run = job.lastRun
      if (run?.status === 'running' && job.schedule.kind !== 'streaming') {
        progress ??= new Progress('Looking', run.seriesTotal ?? undefined)
        progress.update(run.seriesDone, `${run.seriesDone} of ${run.seriesTotal ?? '?'} series`)
      }
      if (['completed', 'failed', 'cancelled'].includes(job.status)) {
        progress?.stop()
        finish(job, seen.size, output)
        return
      }
      await doorbell.wait(POLL_MS, signal)
    }
  } catch (error) {
    if (!signal.aborted) throw error
  } finally {
    progress?.stop()
    ending.abort()
    await listening
  }
}

function printAnomaly(anomaly: Anomaly, output: OutputFormat): void {
  if (output === 'ndjson') print(JSON.stringify(anomaly))
  else if (output === 'json') printJson(anomaly)
  else {
    const where = `${paint('bold', seriesName(anomaly.metric, anomaly.tags))}  ${paint('dim', anomaly.id)}`
    print(
      `${formatTime(anomaly.startedAt)}  ${paint(SEVERITY_STYLES[anomaly.severity], anomaly.severity)}  ${where}`,
    )
    for (const line of wrapped(anomaly.explanation, terminalWidth() - 2)) print(`  ${line}`)
  }
}

function finish(job: Job, found: number, output: OutputFormat): void {
  if (job.status === 'failed') {
    const error = job.lastRun?.error
    const message = `The job failed: ${error?.message ?? 'no reason was recorded'}.`
    const hint = error?.hint ?? undefined
    throw new NomalyError('internal', message, hint === undefined ? {} : { hint })
  }
  if (output !== 'table') return
  const scanned = job.lastRun === null ? '' : ` in ${count(job.lastRun.pointsScanned, 'point')}`
  note(`The job is ${job.status}: ${count(found, 'anomaly', 'anomalies')}${scanned}.`)
}

/** Rings the bell on every event, over new connections as long as it takes. */
async function listen(client: ApiClient, doorbell: Doorbell, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      for await (const _ of client.events(signal)) doorbell.ring()
    } catch {
      // Looking every now and then goes on; it reports what is wrong.
    }
    await sleep(RECONNECT_MS, undefined, { signal }).catch(() => undefined)
  }
}

class Doorbell {
  #rung = false
  #wake: (() => void) | undefined

  ring(): void {
    this.#rung = true
    this.#wake?.()
  }

  /** Ends at a ring, also one since the last wait, or after some time; throws when the signal aborts. */
  async wait(timeoutMs: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (!this.#rung) {
      const woken = new AbortController()
      this.#wake = () => woken.abort()
      await sleep(timeoutMs, undefined, { signal: AbortSignal.any([signal, woken.signal]) }).catch(
        () => undefined,
      )
    } else await sleep(50, undefined, { signal })
    this.#rung = false
    this.#wake = undefined
    signal.throwIfAborted()
  }
}
