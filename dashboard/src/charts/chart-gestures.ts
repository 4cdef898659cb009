import type { ChartView } from './chart-view.ts'

/**
 * Lets a chart be moved by keys (arrows, + and -, 0), by the wheel with Ctrl or Alt, and by one or two fingers.
 * Answers how to stop.
 */
export function addChartGestures(host: HTMLElement, view: () => ChartView | undefined): () => void {
  const stop = new AbortController()
  const { signal } = stop
  const fingers = new Map<number, number>()

  const share = (clientX: number): number => {
    const box = view()?.plot.over.getBoundingClientRect()
    return box === undefined ? 0.5 : Math.min(1, Math.max(0, (clientX - box.left) / box.width))
  }

  host.addEventListener(
    'keydown',
    (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return
      const actions: Record<string, () => void> = {
        ArrowLeft: () => view()?.pan(-0.2),
        ArrowRight: () => view()?.pan(0.2),
        '+': () => view()?.zoom(0.6),
        '=': () => view()?.zoom(0.6),
        '-': () => view()?.zoom(1 / 0.6),
        '0': () => view()?.show(undefined),
        Escape: () => view()?.show(undefined),
      }
      const action = actions[event.key]
      if (action === undefined) return
      event.preventDefault()
      action()
    },
    { signal },
  )

  host.addEventListener(
    'wheel',
    (event) => {
      // The plain wheel belongs to the page.
      if (!event.ctrlKey && !event.altKey && !event.metaKey) return
      event.preventDefault()
      view()?.zoom(Math.exp(event.deltaY * 0.002), share(event.clientX))
    },
    { signal, passive: false },
  )

  host.addEventListener(
    'pointerdown',
    (event) => {
      if (event.pointerType === 'touch') fingers.set(event.pointerId, event.clientX)
    },
    { signal },
  )
  host.addEventListener(
    'pointermove',
    (event) => {
      const before = fingers.get(event.pointerId)
      const chart = view()
      if (before === undefined || chart === undefined) return
      const width = chart.plot.over.clientWidth || 1
      if (fingers.size === 1) chart.pan((before - event.clientX) / width)
      else {
        const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1] ?? before
        const was = Math.max(20, Math.abs(before - other))
        chart.zoom(was / Math.max(20, Math.abs(event.clientX - other)), share((event.clientX + other) / 2))
      }
      fingers.set(event.pointerId, event.clientX)
    },
    { signal },
  )
  for (const end of ['pointerup', 'pointercancel'] as const)
    host.addEventListener(end, (event) => fingers.delete(event.pointerId), { signal })

  return () => stop.abort()
}
