import { useSyncExternalStore } from 'react'
import { formatAgo, formatTime, formatUtc } from './format-time.ts'

let now = Date.now()
const listeners = new Set<() => void>()
let ticking: ReturnType<typeof setInterval> | undefined

function subscribe(listener: () => void): () => void {
  listeners.add(listener)
  ticking ??= setInterval(() => {
    now = Date.now()
    for (const each of listeners) each()
  }, 10_000)
  return () => {
    listeners.delete(listener)
    if (listeners.size > 0) return
    clearInterval(ticking)
    ticking = undefined
  }
}

/** The present to within ten seconds, epoch milliseconds; re-renders as it moves. */
export function useNow(): number {
  return useSyncExternalStore(subscribe, () => now)
}

/** A moment in the viewer's zone (or how long ago), with UTC on hover. */
export function TimeText({ at, ago = false }: { at: string | number; ago?: boolean }) {
  const nowMs = useNow()
  const ms = typeof at === 'number' ? at : Date.parse(at)
  return (
    <time dateTime={new Date(ms).toISOString()} title={formatUtc(ms)}>
      {ago ? formatAgo(ms, nowMs) : formatTime(ms, nowMs)}
    </time>
  )
}
