import { ActionIcon, Tooltip } from '@mantine/core'
import { IconCheck, IconEyeOff } from '@tabler/icons-react'
import { Link } from '@tanstack/react-router'
import { useEffect, useRef } from 'react'
import type { Anomaly } from '../api/entities.ts'
import { SeriesName } from '../layout/series-name.tsx'
import { SeverityMark, StateMark } from '../layout/severity-mark.tsx'
import { TimeText } from '../layout/time-text.tsx'
import classes from './anomaly-row.module.css'

interface AnomalyRowProps {
  readonly anomaly: Anomaly
  readonly current: boolean
  readonly onFocus: () => void
  readonly onAcknowledge: () => void
  readonly onDismiss: () => void
}

/** One finding in the list; leads to the chart at its time. */
export function AnomalyRow({ anomaly, current, onFocus, onAcknowledge, onDismiss }: AnomalyRowProps) {
  const row = useRef<HTMLDivElement>(null)
  useEffect(() => {
    const element = row.current
    if (!current || element === null) return
    // The focus follows, so that Enter opens the row and a screen reader reads it.
    if (!element.contains(document.activeElement)) element.querySelector('a')?.focus({ preventScroll: true })
    element.scrollIntoView({ block: 'nearest' })
  }, [current])
  return (
    <div
      ref={row}
      className={classes.row}
      data-current={current || undefined}
      onFocus={onFocus}
      data-testid="finding-row"
    >
      <Link
        to="/datasets/$dataset"
        params={{ dataset: anomaly.datasetId }}
        search={{ series: anomaly.seriesId, anomaly: anomaly.id }}
        className={classes.link}
      >
        <SeverityMark severity={anomaly.severity} />
        <span className={classes.what}>
          <span className={classes.name}>
            <SeriesName metric={anomaly.metric} tags={anomaly.tags} />
            <span className={classes.dataset}>in {anomaly.datasetName}</span>
          </span>
          <span className={classes.explanation}>{anomaly.explanation}</span>
          {anomaly.note !== null && <span className={classes.note}>“{anomaly.note}”</span>}
        </span>
        <span className={classes.when}>
          <TimeText at={anomaly.peakAt} />
          {anomaly.state !== 'open' && <StateMark state={anomaly.state} />}
        </span>
      </Link>
      <span className={classes.actions}>
        <Tooltip label="Acknowledge" openDelay={400}>
          <ActionIcon
            variant="subtle"
            color="gray"
            aria-label="Acknowledge"
            disabled={anomaly.state !== 'open'}
            onClick={onAcknowledge}
          >
            <IconCheck size={17} stroke={1.7} />
          </ActionIcon>
        </Tooltip>
        <Tooltip label="Dismiss" openDelay={400}>
          <ActionIcon
            variant="subtle"
            color="gray"
            aria-label="Dismiss"
            disabled={anomaly.state === 'dismissed' || anomaly.state === 'resolved'}
            onClick={onDismiss}
          >
            <IconEyeOff size={17} stroke={1.7} />
          </ActionIcon>
        </Tooltip>
      </span>
    </div>
  )
}
