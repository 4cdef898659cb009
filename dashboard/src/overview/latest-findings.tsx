import { Skeleton } from '@mantine/core'
import { useInfiniteQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { anomaliesQuery } from '../api/queries.ts'
import { EmptyNote } from '../layout/empty-note.tsx'
import { formatValue } from '../layout/format-number.ts'
import { Panel } from '../layout/panel.tsx'
import { ProblemAlert } from '../layout/problem-alert.tsx'
import { SeverityMark } from '../layout/severity-mark.tsx'
import { TimeText } from '../layout/time-text.tsx'
import classes from './latest-findings.module.css'

/** The newest open findings of all datasets. */
export function LatestFindings() {
  const findings = useInfiniteQuery(anomaliesQuery({ state: 'open' }, 8))
  const items = findings.data?.pages[0]?.items
  return (
    <Panel
      title="Latest findings"
      flush
      aside={
        <Link to="/anomalies" className={classes.all}>
          All
        </Link>
      }
    >
      {findings.isPending && <Skeleton height={160} m="md" />}
      {findings.isLoadingError && (
        <ProblemAlert error={findings.error} onRetry={() => void findings.refetch()} />
      )}
      {items?.length === 0 && (
        <EmptyNote title="Nothing unusual">Findings appear here the moment they are made.</EmptyNote>
      )}
      <div className={classes.list}>
        {items?.map((each) => (
          <Link
            key={each.id}
            to="/datasets/$dataset"
            params={{ dataset: each.datasetId }}
            search={{ series: each.seriesId, anomaly: each.id }}
            className={classes.row}
          >
            <SeverityMark severity={each.severity} dot />
            <span className={classes.what}>
              <span className={classes.metric}>{each.metric}</span>
              <small>
                {each.datasetName} · {formatValue(each.observed, each.metric)}
              </small>
            </span>
            <span className={classes.when}>
              <TimeText at={each.peakAt} />
            </span>
          </Link>
        ))}
      </div>
    </Panel>
  )
}
