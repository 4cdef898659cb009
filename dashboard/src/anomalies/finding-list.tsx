import { Button } from '@mantine/core'
import type { Anomaly } from '../api/entities.ts'
import { formatValue } from '../layout/format-number.ts'
import { SeverityMark, StateMark } from '../layout/severity-mark.tsx'
import { TimeText } from '../layout/time-text.tsx'
import classes from './finding-list.module.css'

interface FindingListProps {
  readonly findings: readonly Anomaly[]
  readonly selectedId: string | undefined
  readonly onSelect: (finding: Anomaly) => void
  readonly onMore: (() => void) | undefined
}

/** The findings of one series, newest first. */
export function FindingList({ findings, selectedId, onSelect, onMore }: FindingListProps) {
  return (
    <div className={classes.list}>
      {findings.map((finding) => (
        <button
          key={finding.id}
          type="button"
          className={classes.row}
          aria-pressed={finding.id === selectedId}
          data-quiet={finding.state === 'dismissed' || finding.state === 'resolved' || undefined}
          onClick={() => onSelect(finding)}
          data-testid="finding-row"
        >
          <SeverityMark severity={finding.severity} dot />
          <span className={classes.what}>
            {formatValue(finding.observed, finding.metric)}
            <small>
              {finding.direction === 'pattern' ? 'unusual pattern' : `${finding.direction} the expected`}
            </small>
          </span>
          <span className={classes.when}>
            <TimeText at={finding.peakAt} />
            {finding.state !== 'open' && <StateMark state={finding.state} />}
          </span>
        </button>
      ))}
      {onMore !== undefined && (
        <Button variant="subtle" size="xs" m="xs" onClick={onMore}>
          Show more
        </Button>
      )}
    </div>
  )
}
