import { Button, Group, Skeleton } from '@mantine/core'
import { useInfiniteQuery } from '@tanstack/react-query'
import { useEffect, useMemo, useRef, useState } from 'react'
import type { Anomaly, Dataset, Job, Series } from '../api/entities.ts'
import type { PointColumns } from '../api/points.ts'
import { anomaliesQuery } from '../api/queries.ts'
import { FindingCard } from '../anomalies/finding-card.tsx'
import { FindingList } from '../anomalies/finding-list.tsx'
import type { ChartMark } from '../charts/chart-marks.ts'
import type { ChartRange } from '../charts/chart-view.ts'
import { SeriesChart } from '../charts/series-chart.tsx'
import { lowerBound } from '../charts/visible-columns.ts'
import { EmptyNote } from '../layout/empty-note.tsx'
import { Panel } from '../layout/panel.tsx'
import { ProblemAlert } from '../layout/problem-alert.tsx'
import { SeriesName } from '../layout/series-name.tsx'
import classes from './dataset-page.module.css'
import { IncidentList } from './incident-list.tsx'
import { knownIncidents } from './known-incidents.ts'
import { useSeriesBand, useSeriesPoints } from './series-points.ts'

interface SeriesViewProps {
  readonly dataset: Dataset
  readonly series: Series
  readonly job: Job | undefined
  readonly anomalyId: string | undefined
  readonly onSelectAnomaly: (id: string | undefined) => void
}

/** Points kept in view on either side of what is gone to. */
const CONTEXT_POINTS = 150

/** One series: its chart, its findings beside it and the chosen finding in full. */
export function SeriesView({ dataset, series, job, anomalyId, onSelectAnomaly }: SeriesViewProps) {
  const [beforeMs, setBeforeMs] = useState<number>()
  const points = useSeriesPoints(dataset.id, series.id, beforeMs)
  const band = useSeriesBand(dataset.id, series.id, job?.id, points.data, beforeMs)
  const findings = useInfiniteQuery(anomaliesQuery({ datasetId: dataset.id, seriesId: series.id }, 500))
  const all = useMemo(() => findings.data?.pages.flatMap((page) => page.items) ?? [], [findings.data])
  const marks = useMemo(() => all.map(asMark), [all])
  const incidents = useMemo(() => knownIncidents(dataset.id, series), [dataset.id, series])
  const selected = all.find((each) => each.id === anomalyId)
  const [focus, setFocus] = useState<ChartRange>()

  const goTo = (finding: Anomaly): void => {
    if (points.data !== undefined)
      setFocus(around(Date.parse(finding.startedAt), Date.parse(finding.endedAt), points.data))
  }
  // A link to a finding shows it once, as soon as both the finding and the points are there.
  const arrived = useRef(false)
  useEffect(() => {
    if (arrived.current || selected === undefined || points.data === undefined) return
    arrived.current = true
    const peakMs = Date.parse(selected.peakAt)
    const first = points.data.timesMs[0] ?? peakMs
    if (peakMs < first && points.data.truncated) setBeforeMs(peakMs + 86_400_000)
    else goTo(selected)
  })
  useEffect(() => {
    if (anomalyId === undefined) arrived.current = true
  }, [anomalyId])

  return (
    <div className={classes.view}>
      <Panel title={series.metric} heading={<SeriesName metric={series.metric} tags={series.tags} />}>
        {points.isPending && <Skeleton height={380} />}
        {points.isLoadingError && <ProblemAlert error={points.error} onRetry={() => void points.refetch()} />}
        {points.data !== undefined && (
          <SeriesChart
            metric={series.metric}
            points={points.data}
            band={band.data}
            marks={marks}
            incidents={incidents}
            selectedId={anomalyId}
            focus={focus}
            onSelect={onSelectAnomaly}
          />
        )}
        <IncidentList
          incidents={incidents}
          onGoTo={({ fromMs, toMs }) => {
            if (points.data !== undefined) setFocus(around(fromMs, toMs, points.data))
          }}
        />
        <Group gap="xs">
          {points.data?.truncated === true && (
            <Button mt="xs" size="xs" variant="default" onClick={() => setBeforeMs(points.data?.timesMs[0])}>
              Show older points
            </Button>
          )}
          {beforeMs !== undefined && (
            <Button mt="xs" size="xs" variant="default" onClick={() => setBeforeMs(undefined)}>
              Back to the newest
            </Button>
          )}
        </Group>
        <BandHint watched={job !== undefined} detector={band.data?.detector} failed={band.isLoadingError} />
      </Panel>
      <div className={classes.beside}>
        {selected !== undefined && (
          <FindingCard
            anomaly={selected}
            reason={
              band.data?.detector?.algorithm === selected.algorithm ? band.data.detector.reason : undefined
            }
            onClose={() => onSelectAnomaly(undefined)}
          />
        )}
        <Panel
          title={all.length === 0 ? 'Findings' : `Findings (${all.length}${findings.hasNextPage ? '+' : ''})`}
          flush
        >
          {findings.isPending && <Skeleton height={120} m="md" />}
          {findings.isLoadingError && (
            <ProblemAlert error={findings.error} onRetry={() => void findings.refetch()} />
          )}
          {findings.data !== undefined && all.length === 0 && (
            <EmptyNote title="Nothing unusual">
              {job === undefined
                ? 'Nothing looks at this dataset yet.'
                : 'No finding in this series so far; new ones appear here by themselves.'}
            </EmptyNote>
          )}
          {all.length > 0 && (
            <FindingList
              findings={all}
              selectedId={anomalyId}
              onSelect={(finding) => {
                onSelectAnomaly(finding.id)
                goTo(finding)
              }}
              onMore={findings.hasNextPage ? () => void findings.fetchNextPage() : undefined}
            />
          )}
        </Panel>
      </div>
    </div>
  )
}

function BandHint(props: {
  watched: boolean
  detector: { algorithm: string; reason: string } | null | undefined
  failed: boolean
}) {
  const text = !props.watched
    ? 'No job watches this dataset, so there is no expected band.'
    : props.failed
      ? 'The expected band could not be read just now.'
      : props.detector === null
        ? 'The detector is still learning what is normal here.'
        : props.detector === undefined
          ? undefined
          : `Shaded: what is normal. Detector ${props.detector.algorithm}: ${props.detector.reason}.`
  return text === undefined ? null : <p className={classes.hint}>{text}</p>
}

function asMark(finding: Anomaly): ChartMark {
  const { observed } = finding
  return {
    id: finding.id,
    fromMs: Date.parse(finding.startedAt),
    toMs: Date.parse(finding.endedAt),
    peakMs: Date.parse(finding.peakAt),
    observed: Number.isFinite(observed) ? observed : undefined,
    severity: finding.severity,
    quiet: finding.state === 'dismissed' || finding.state === 'resolved',
  }
}

function around(fromMs: number, toMs: number, { timesMs }: PointColumns): ChartRange | undefined {
  if (timesMs.length === 0) return undefined
  const first = lowerBound(timesMs, fromMs)
  const last = lowerBound(timesMs, toMs)
  const context = Math.max(CONTEXT_POINTS, (last - first) * 2)
  const at = (index: number): number => timesMs[Math.min(Math.max(index, 0), timesMs.length - 1)] as number
  return { fromMs: at(first - context), toMs: at(last + context) }
}
