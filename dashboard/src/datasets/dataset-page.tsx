import { Button, Group, Skeleton } from '@mantine/core'
import { IconChartLine, IconUpload } from '@tabler/icons-react'
import { useInfiniteQuery, useQuery } from '@tanstack/react-query'
import { getRouteApi } from '@tanstack/react-router'
import { useMemo, useState } from 'react'
import type { Dataset, Job, Series } from '../api/entities.ts'
import { anomaliesQuery, datasetQuery, jobsQuery, seriesQuery } from '../api/queries.ts'
import { ImportSummary } from '../imports/import-summary.tsx'
import { chooseFile } from '../imports/import-store.ts'
import { EmptyNote } from '../layout/empty-note.tsx'
import { formatCount } from '../layout/format-number.ts'
import { PageHead } from '../layout/page-head.tsx'
import { usePageTitle } from '../layout/page-title.ts'
import { Panel } from '../layout/panel.tsx'
import { ProblemAlert } from '../layout/problem-alert.tsx'
import { TimeText } from '../layout/time-text.tsx'
import classes from './dataset-page.module.css'
import { JobStrip } from './job-strip.tsx'
import { SeriesList } from './series-list.tsx'
import { SeriesView } from './series-view.tsx'

const route = getRouteApi('/datasets/$dataset')

/** A dataset: its series, the chosen one in full, and what was found in it. */
export function DatasetPage() {
  const { dataset: idOrName } = route.useParams()
  const dataset = useQuery(datasetQuery(idOrName))
  usePageTitle(dataset.data?.name ?? 'Dataset')
  if (dataset.isPending) return <LoadingPage />
  if (dataset.isLoadingError)
    return <ProblemAlert error={dataset.error} onRetry={() => void dataset.refetch()} />
  return <DatasetView key={dataset.data.id} dataset={dataset.data} />
}

function DatasetView({ dataset }: { dataset: Dataset }) {
  const search = route.useSearch()
  const navigate = route.useNavigate()
  const series = useQuery(seriesQuery(dataset.id))
  const open = useInfiniteQuery(anomaliesQuery({ datasetId: dataset.id, state: 'open' }, 500))
  const jobs = useQuery(jobsQuery)
  const watching = useMemo(() => jobsOf(jobs.data, dataset.id), [jobs.data, dataset.id])

  const openBySeries = useMemo(() => {
    const counts = new Map<number, number>()
    for (const page of open.data?.pages ?? [])
      for (const { seriesId } of page.items) counts.set(seriesId, (counts.get(seriesId) ?? 0) + 1)
    return counts
  }, [open.data])

  // Until someone chooses, the first series with an open finding is shown; from then on the page keeps still.
  const [kept, setKept] = useState<number>()
  const firstOpen = series.data?.find((each) => openBySeries.has(each.id))?.id
  if (kept === undefined && firstOpen !== undefined) setKept(firstOpen)
  const wanted = search.series ?? kept
  const selected = series.data?.find((each) => each.id === wanted) ?? series.data?.[0]
  const select = (next: Series): void =>
    void navigate({ search: { series: next.id }, replace: true, resetScroll: false })

  return (
    <>
      <PageHead
        title={dataset.name}
        about={
          <>
            {dataset.description && <>{dataset.description} · </>}
            {formatCount(dataset.seriesCount)} series
            {dataset.latestAt !== null && (
              <>
                {' '}
                · newest point <TimeText at={dataset.latestAt} />
              </>
            )}
          </>
        }
      >
        <Group gap="xs">
          <Button
            variant="default"
            size="xs"
            leftSection={<IconUpload size={15} />}
            onClick={() => chooseFile(dataset.name)}
          >
            Add points
          </Button>
        </Group>
      </PageHead>
      <ImportSummary datasetId={dataset.id} />
      <JobStrip dataset={dataset} jobs={jobs.data === undefined ? undefined : watching} />
      {series.isLoadingError && <ProblemAlert error={series.error} onRetry={() => void series.refetch()} />}
      {series.isPending && <Skeleton height={480} radius="lg" />}
      {series.data?.length === 0 && (
        <Panel title="Series">
          <EmptyNote icon={<IconChartLine size={28} stroke={1.4} />} title="No points yet">
            Drop a CSV or NDJSON file anywhere on this page, or send points to{' '}
            <code>POST /v1/datasets/{dataset.name}/points</code>.
          </EmptyNote>
        </Panel>
      )}
      {selected !== undefined && series.data !== undefined && (
        <div
          className={classes.grid}
          data-single={series.data.length === 1 || undefined}
          onPointerDownCapture={() => setKept(selected.id)}
        >
          {series.data.length > 1 && (
            <aside className={classes.series}>
              <Panel title="Series" flush>
                <SeriesList
                  series={series.data}
                  openBySeries={openBySeries}
                  selectedId={selected.id}
                  onSelect={select}
                />
              </Panel>
            </aside>
          )}
          <SeriesView
            key={selected.id}
            dataset={dataset}
            series={selected}
            job={watching[0]}
            anomalyId={search.anomaly}
            onSelectAnomaly={(anomaly) =>
              void navigate({
                search: { series: selected.id, ...(anomaly === undefined ? {} : { anomaly }) },
                replace: true,
                resetScroll: false,
              })
            }
          />
        </div>
      )}
    </>
  )
}

function LoadingPage() {
  return (
    <>
      <Skeleton height={32} width={220} mb="lg" />
      <Skeleton height={480} radius="lg" />
    </>
  )
}

/** The jobs on a dataset: those that keep watching come first, then the newest. */
function jobsOf(jobs: readonly Job[] | undefined, datasetId: string): Job[] {
  const rank = (job: Job): number => ['streaming', 'cron', 'once'].indexOf(job.schedule.kind)
  return (jobs ?? [])
    .filter((job) => job.datasetId === datasetId)
    .toSorted((a, b) => rank(a) - rank(b) || b.createdAt.localeCompare(a.createdAt))
}
