import { useQuery } from '@tanstack/react-query'
import { useEffect, useRef, useState } from 'react'
import { type PointColumns, readPoints } from '../api/points.ts'
import classes from './sparkline.module.css'

const WIDTH = 240
const HEIGHT = 40
const LAST_POINTS = 240

interface SparklineProps {
  readonly datasetId: string
  readonly seriesId: number
  readonly label: string
}

/** The last values of a series as a small line; read only once it scrolls into view. */
export function Sparkline({ datasetId, seriesId, label }: SparklineProps) {
  const host = useRef<HTMLDivElement>(null)
  const [visible, setVisible] = useState(false)
  useEffect(() => {
    const element = host.current
    if (element === null) return
    const observer = new IntersectionObserver(
      (entries) => setVisible(entries.some((entry) => entry.isIntersecting)),
      { rootMargin: '80px' },
    )
    observer.observe(element)
    return () => observer.disconnect()
  }, [])

  const points = useQuery({
    queryKey: ['spark', datasetId, seriesId],
    queryFn: ({ signal }) => readPoints(seriesId, { limit: LAST_POINTS }, signal),
    enabled: visible,
    staleTime: 30_000,
  })
  const path = points.data === undefined ? undefined : sparkPath(points.data)
  return (
    <div ref={host} className={classes.spark} data-loading={points.isPending || undefined}>
      {path !== undefined && (
        <svg
          viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
          preserveAspectRatio="none"
          role="img"
          aria-label={`Last values of ${label}`}
        >
          <path d={`${path} V${HEIGHT} H0 Z`} className={classes.area} />
          <path d={path} className={classes.line} />
        </svg>
      )}
    </div>
  )
}

function sparkPath({ timesMs, values }: PointColumns): string | undefined {
  const finite = values.filter(Number.isFinite)
  if (finite.length < 2) return undefined
  const min = finite.reduce((a, b) => Math.min(a, b))
  const max = finite.reduce((a, b) => Math.max(a, b))
  const from = timesMs[0] as number
  const span = (timesMs.at(-1) as number) - from || 1
  let path = ''
  for (let index = 0; index < values.length; index++) {
    const value = values[index] as number
    if (!Number.isFinite(value)) continue
    const x = (((timesMs[index] as number) - from) / span) * WIDTH
    const y = max === min ? HEIGHT / 2 : HEIGHT - 3 - ((value - min) / (max - min)) * (HEIGHT - 6)
    path += `${path === '' ? 'M' : 'L'}${x.toFixed(1)} ${y.toFixed(1)}`
  }
  return path
}
