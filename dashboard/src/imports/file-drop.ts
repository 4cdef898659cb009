import { useEffect, useEffectEvent, useState } from 'react'

/** Listens for files dropped anywhere on the page; answers whether some are being held over it. */
export function useFileDrop(onDrop: (files: readonly File[]) => void): boolean {
  const [dragging, setDragging] = useState(false)
  const drop = useEffectEvent(onDrop)
  useEffect(() => {
    const stop = new AbortController()
    const { signal } = stop
    // Entering a child fires before leaving its parent.
    let depth = 0
    const withFiles = (event: DragEvent): boolean => event.dataTransfer?.types.includes('Files') === true
    const change = (event: DragEvent, by: number): void => {
      if (!withFiles(event)) return
      event.preventDefault()
      depth = Math.max(0, depth + by)
      setDragging(depth > 0)
    }
    addEventListener('dragenter', (event) => change(event, 1), { signal })
    addEventListener('dragleave', (event) => change(event, -1), { signal })
    addEventListener('dragover', (event) => change(event, 0), { signal })
    addEventListener(
      'drop',
      (event) => {
        if (!withFiles(event)) return
        event.preventDefault()
        depth = 0
        setDragging(false)
        drop([...(event.dataTransfer?.files ?? [])])
      },
      { signal },
    )
    return () => stop.abort()
  }, [])
  return dragging
}
