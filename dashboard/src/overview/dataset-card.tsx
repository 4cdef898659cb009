import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import type { Dataset } from '../api/entities.ts'
import { firstSeriesQuery } from '../api/queries.ts'
import { Sparkline } from '../charts/sparkline.tsx'
import { formatCount } from '../layout/format-number.ts'
import { TimeText } from '../layout/time-text.tsx'
import classes from './dataset-card.module.css'

const SERIES_SHOWN = 4

/** A dataset at a glance: its first series, what is open, and how fresh it is. */
export function DatasetCard({ dataset, open, own }: { dataset: Dataset; open: number; own: boolean }) {
  const series = useQuery({
    ...firstSeriesQuery(dataset.id, SERIES_SHOWN),
    // A dataset that has no series yet is about to get some.
    refetchInterval: (query) => (query.state.data?.length === 0 ? 3000 : false),
  })
  const more = dataset.seriesCount - SERIES_SHOWN
  return (
    <Link to="/datasets/$dataset" params={{ dataset: dataset.id }} className={classes.card}>
      <div className={classes.head}>
        <h2 className={classes.name}>{dataset.name}</h2>
        {open > 0 && <span className={classes.open}>{formatCount(open)} open</span>}
      </div>
      {own && (
        <p className={classes.about}>What this installation records of itself, watched like any other.</p>
      )}
      {!own && dataset.description && <p className={classes.about}>{dataset.description}</p>}
      <div className={classes.series}>
        {series.data?.map((each) => (
          <div key={each.id} className={classes.one}>
            <span className={classes.metric} title={each.metric}>
              {each.metric}
            </span>
            <Sparkline datasetId={dataset.id} seriesId={each.id} label={each.metric} />
          </div>
        ))}
        {series.data?.length === 0 && <span className={classes.about}>No points yet.</span>}
      </div>
      <div className={classes.foot}>
        <span>
          {formatCount(dataset.seriesCount)} series{more > 0 ? `, ${SERIES_SHOWN} shown` : ''}
        </span>
        {dataset.latestAt !== null && <TimeText at={dataset.latestAt} ago />}
      </div>
    </Link>
  )
}
