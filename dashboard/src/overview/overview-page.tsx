import { Skeleton } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { datasetsQuery, jobsQuery } from '../api/queries.ts'
import { PageHead } from '../layout/page-head.tsx'
import { usePageTitle } from '../layout/page-title.ts'
import { ProblemAlert } from '../layout/problem-alert.tsx'
import { DatasetCard } from './dataset-card.tsx'
import { JobSummary } from './job-summary.tsx'
import { LatestFindings } from './latest-findings.tsx'
import { FirstOffers, SmallOffers } from './offers.tsx'
import classes from './overview-page.module.css'

/** The dataset in which the product records itself. */
export const OWN_DATASET = 'nomaly'

/** Everything at a glance; with nothing there yet, the two ways to begin. */
export function OverviewPage() {
  usePageTitle('Overview')
  const datasets = useQuery(datasetsQuery)
  const jobs = useQuery(jobsQuery)
  if (datasets.isLoadingError)
    return <ProblemAlert error={datasets.error} onRetry={() => void datasets.refetch()} />
  if (datasets.isPending)
    return (
      <>
        <Skeleton height={32} width={180} mb="lg" />
        <div className={classes.datasets}>
          <Skeleton height={150} radius="lg" />
          <Skeleton height={150} radius="lg" />
        </div>
      </>
    )
  const own = datasets.data.filter((dataset) => dataset.name === OWN_DATASET)
  const others = datasets.data.filter((dataset) => dataset.name !== OWN_DATASET)
  const openOf = (id: string): number =>
    (jobs.data ?? []).filter((job) => job.datasetId === id).reduce((sum, job) => sum + job.openAnomalies, 0)
  return (
    <>
      {others.length === 0 ? (
        <FirstOffers />
      ) : (
        <PageHead title="Overview">
          <SmallOffers demo={!others.some((dataset) => dataset.name === 'demo')} />
        </PageHead>
      )}
      <div className={classes.grid}>
        <div className={classes.datasets}>
          {[...others, ...own].map((dataset) => (
            <DatasetCard
              key={dataset.id}
              dataset={dataset}
              open={openOf(dataset.id)}
              own={dataset.name === OWN_DATASET}
            />
          ))}
        </div>
        <div className={classes.side}>
          <LatestFindings />
          <JobSummary />
        </div>
      </div>
    </>
  )
}
