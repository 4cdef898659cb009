import { useQuery, useQueryClient } from '@tanstack/react-query'
import { useEffect } from 'react'
import { subscribePoints } from '../api/live-events.ts'
import { type BandColumns, type PointColumns, readBand, readPoints, withTail } from '../api/points.ts'

const TAIL_EVERY_MS = 1000
/** The server replays the detector for every band: long series are asked for less often. */
const bandPauseMs = (points: number): number => Math.max(10_000, points / 2)

/** The newest points of a series, which grows as points arrive; `beforeMs` shows an older stretch instead. */
export function useSeriesPoints(datasetId: string, seriesId: number, beforeMs: number | undefined) {
  const client = useQueryClient()
  const queryKey = ['points', datasetId, seriesId, beforeMs ?? 'newest']
  const points = useQuery({
    queryKey,
    staleTime: Infinity,
    gcTime: 60_000,
    queryFn: ({ signal }) => readPoints(seriesId, beforeMs === undefined ? {} : { toMs: beforeMs }, signal),
  })

  useEffect(() => {
    if (beforeMs !== undefined) return
    const stop = new AbortController()
    let busy = false
    let again = false
    const readTail = async (): Promise<void> => {
      const known = client.getQueryData<PointColumns>(queryKey)
      if (known === undefined) return
      const last = known.timesMs.at(-1)
      const tail = await readPoints(seriesId, last === undefined ? {} : { fromMs: last }, stop.signal)
      client.setQueryData<PointColumns>(queryKey, (now) => (now === undefined ? now : withTail(now, tail)))
    }
    const follow = (changed: string): void => {
      if (changed !== datasetId) return
      again = busy
      if (busy) return
      busy = true
      // A tail that could not be read comes with the next one.
      void readTail()
        .catch(() => undefined)
        .then(() => new Promise((resolve) => setTimeout(resolve, TAIL_EVERY_MS)))
        .then(() => {
          busy = false
          if (again && !stop.signal.aborted) follow(changed)
        })
    }
    const unsubscribe = subscribePoints(follow)
    return () => {
      unsubscribe()
      stop.abort()
    }
  }, [client, datasetId, seriesId, beforeMs])

  return points
}

/** The expected band of a series over what is loaded, as one job sees it. */
export function useSeriesBand(
  datasetId: string,
  seriesId: number,
  jobId: string | undefined,
  points: PointColumns | undefined,
  beforeMs: number | undefined,
) {
  const client = useQueryClient()
  const fromMs = points?.timesMs[0]
  const queryKey = ['band', datasetId, seriesId, jobId, beforeMs ?? 'newest']
  const band = useQuery({
    queryKey,
    staleTime: 60_000,
    gcTime: 60_000,
    enabled: jobId !== undefined && fromMs !== undefined,
    meta: { quiet: true },
    queryFn: ({ signal }) =>
      readBand(seriesId, jobId ?? '', { fromMs: fromMs ?? 0, toMs: beforeMs ?? Date.now() + 60_000 }, signal),
  })

  useEffect(() => {
    if (beforeMs !== undefined) return
    let waiting: ReturnType<typeof setTimeout> | undefined
    const unsubscribe = subscribePoints((changed) => {
      if (changed !== datasetId || waiting !== undefined) return
      waiting = setTimeout(
        () => {
          waiting = undefined
          void client.invalidateQueries({ queryKey })
        },
        bandPauseMs(client.getQueryData<BandColumns>(queryKey)?.timesMs.length ?? 0),
      )
    })
    return () => {
      clearTimeout(waiting)
      unsubscribe()
    }
  }, [client, datasetId, seriesId, jobId, beforeMs])

  return band
}
