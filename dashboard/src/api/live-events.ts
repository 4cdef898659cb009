import type { QueryClient } from '@tanstack/react-query'
import type { Job } from './entities.ts'

/** Whether the page hears of changes as they happen. */
export type LiveState = 'connecting' | 'live' | 'reconnecting'

/** What an event carries: ids and progress, depending on its kind; everything else is read again. */
interface EventData {
  readonly id?: string
  readonly datasetId?: string
  readonly status?: string
  readonly seriesDone?: number
  readonly seriesTotal?: number
}

type PointsListener = (datasetId: string) => void

let state: LiveState = 'connecting'
const stateListeners = new Set<() => void>()
const pointsListeners = new Set<PointsListener>()

/** The current state, for `useSyncExternalStore`. */
export const currentLiveState = (): LiveState => state

/** Calls back when the live state changes; answers how to stop. */
export function subscribeLiveState(listener: () => void): () => void {
  stateListeners.add(listener)
  return () => stateListeners.delete(listener)
}

/** Calls back when points arrived in a dataset; answers how to stop. */
export function subscribePoints(listener: PointsListener): () => void {
  pointsListeners.add(listener)
  return () => pointsListeners.delete(listener)
}

/** Follows `/v1/events`, marks what changed as stale, and reconnects for ever; answers how to stop. */
export function followEvents(client: QueryClient): () => void {
  const later = throttledInvalidation(client)
  let source: EventSource
  let retry: ReturnType<typeof setTimeout> | undefined
  let wasLost = false

  const connect = (): void => {
    source = new EventSource('/v1/events')
    source.addEventListener('open', () => {
      setState('live')
      // What happened while nobody listened is unknown.
      if (wasLost) void client.invalidateQueries()
      wasLost = false
    })
    source.addEventListener('error', () => {
      wasLost = true
      setState('reconnecting')
      if (source.readyState !== EventSource.CLOSED) return
      // The browser gives up after an answer other than 200, such as 401 or 503.
      void client.invalidateQueries({ queryKey: ['me'] })
      retry = setTimeout(connect, 3000)
    })
    source.addEventListener('anomaly', () => {
      later(['anomalies'], 700)
      later(['jobs'], 1500)
    })
    source.addEventListener('dataset', () => later(['datasets'], 300))
    source.addEventListener('job', () => later(['jobs'], 300))
    source.addEventListener('run', (event) => {
      const run = parse(event)
      if (run?.id !== undefined) applyProgress(client, run)
      if (run?.status !== 'running') later(['jobs'], 500)
    })
    source.addEventListener('points', (event) => {
      const datasetId = parse(event)?.datasetId
      if (datasetId === undefined) return
      later(['datasets'], 3000)
      later(['spark', datasetId], 4000)
      for (const listener of pointsListeners) listener(datasetId)
    })
  }

  connect()
  return () => {
    clearTimeout(retry)
    source.close()
  }
}

function setState(next: LiveState): void {
  if (next === state) return
  state = next
  for (const listener of stateListeners) listener()
}

function parse(event: MessageEvent): EventData | undefined {
  try {
    return JSON.parse(String(event.data)) as EventData
  } catch {
    return undefined
  }
}

function applyProgress(client: QueryClient, run: EventData): void {
  client.setQueryData<Job[]>(['jobs'], (jobs) =>
    jobs?.map((job) =>
      job.lastRun !== null && job.lastRun.id === run.id
        ? {
            ...job,
            lastRun: {
              ...job.lastRun,
              seriesDone: run.seriesDone ?? job.lastRun.seriesDone,
              seriesTotal: run.seriesTotal ?? job.lastRun.seriesTotal,
            },
          }
        : job,
    ),
  )
}

/** At most one re-read of a key per `intervalMs`, however many events come in. */
function throttledInvalidation(client: QueryClient): (key: string[], intervalMs: number) => void {
  const waiting = new Set<string>()
  return (key, intervalMs) => {
    const name = key.join('/')
    if (waiting.has(name)) return
    waiting.add(name)
    setTimeout(() => {
      waiting.delete(name)
      void client.invalidateQueries({ queryKey: key })
    }, intervalMs)
  }
}
