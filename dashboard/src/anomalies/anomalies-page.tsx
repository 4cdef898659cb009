import { Button, Kbd, Modal, Skeleton } from '@mantine/core'
import { IconCircleCheck } from '@tabler/icons-react'
import { useInfiniteQuery, useQuery } from '@tanstack/react-query'
import { getRouteApi, useNavigate } from '@tanstack/react-router'
import { useEffect, useEffectEvent, useRef, useState } from 'react'
import type { Anomaly } from '../api/entities.ts'
import { type AnomalyFilter, anomaliesQuery, datasetsQuery } from '../api/queries.ts'
import type { AnomaliesSearch } from '../router.tsx'
import { EmptyNote } from '../layout/empty-note.tsx'
import { PageHead } from '../layout/page-head.tsx'
import { usePageTitle } from '../layout/page-title.ts'
import { ProblemAlert } from '../layout/problem-alert.tsx'
import classes from './anomalies-page.module.css'
import { AnomalyFilters } from './anomaly-filters.tsx'
import { AnomalyRow } from './anomaly-row.tsx'
import { useDecideAnomaly } from './decide-anomaly.ts'
import { DismissForm } from './decision-buttons.tsx'

const route = getRouteApi('/anomalies')
const DAY_MS = 86_400_000

/** All findings, to be worked through with the keyboard. */
export function AnomaliesPage() {
  usePageTitle('Anomalies')
  const search = route.useSearch()
  const navigate = useNavigate()
  const datasets = useQuery(datasetsQuery)
  const filter = useFilter(search)
  const anomalies = useInfiniteQuery(anomaliesQuery(filter))
  const loaded = anomalies.data?.pages.flatMap((page) => page.items) ?? []
  const decide = useDecideAnomaly()
  const [cursor, setCursor] = useState<{ id: string; position: number }>()
  const [dismissing, setDismissing] = useState<Anomaly>()
  // A finding that leaves the list hands the cursor to the one that takes its place.
  const found = loaded.findIndex((each) => each.id === cursor?.id)
  const position = found >= 0 ? found : Math.min(cursor?.position ?? 0, Math.max(0, loaded.length - 1))
  const current = loaded[position]
  const putCursor = (at: number): void => {
    const anomaly = loaded[at]
    if (anomaly !== undefined) setCursor({ id: anomaly.id, position: at })
  }

  const open = (anomaly: Anomaly): void =>
    void navigate({
      to: '/datasets/$dataset',
      params: { dataset: anomaly.datasetId },
      search: { series: anomaly.seriesId, anomaly: anomaly.id },
    })
  const move = (by: number): void => {
    putCursor(Math.min(Math.max(position + by, 0), loaded.length - 1))
    if (by > 0 && position + 5 > loaded.length && anomalies.hasNextPage && !anomalies.isFetchingNextPage)
      void anomalies.fetchNextPage()
  }
  const onKey = useEffectEvent((event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey || dismissing !== undefined) return
    const target = event.target as HTMLElement
    // A list one only picks from takes no letters; a field does.
    if (target.closest('input:not([readonly]), textarea, [role=listbox], [role=dialog]') !== null) return
    const key = event.key
    if (key === 'Enter' && target.closest('a, button, input') !== null) return
    const actions: Record<string, () => void> = {
      j: () => move(cursor === undefined ? 0 : 1),
      k: () => move(-1),
      a: () => current?.state === 'open' && decide.mutate({ anomaly: current, decision: 'acknowledge' }),
      d: () => current !== undefined && current.state !== 'dismissed' && setDismissing(current),
      Enter: () => cursor !== undefined && current !== undefined && open(current),
    }
    const action = actions[key]
    if (action === undefined || current === undefined) return
    event.preventDefault()
    if (key !== 'j') putCursor(position)
    action()
  })
  useEffect(() => {
    const listener = (event: KeyboardEvent): void => onKey(event)
    addEventListener('keydown', listener)
    return () => removeEventListener('keydown', listener)
  }, [])

  return (
    <>
      <PageHead
        title="Anomalies"
        about={
          <span className={classes.keys}>
            <Kbd>j</Kbd> <Kbd>k</Kbd> move · <Kbd>a</Kbd> acknowledge · <Kbd>d</Kbd> dismiss ·{' '}
            <Kbd>Enter</Kbd> chart
          </span>
        }
      />
      <AnomalyFilters search={search} datasets={datasets.data ?? []} />
      {anomalies.isPending && <Skeleton height={300} radius="lg" />}
      {anomalies.isLoadingError && (
        <ProblemAlert error={anomalies.error} onRetry={() => void anomalies.refetch()} />
      )}
      {anomalies.data !== undefined && loaded.length === 0 && (
        <div className={classes.list}>
          <EmptyNote icon={<IconCircleCheck size={30} stroke={1.4} />} title="Nothing to look at">
            No finding matches these filters.
          </EmptyNote>
        </div>
      )}
      {loaded.length > 0 && (
        <div className={classes.list}>
          {loaded.map((anomaly, index) => (
            <AnomalyRow
              key={anomaly.id}
              anomaly={anomaly}
              current={cursor !== undefined && index === position}
              onFocus={() => putCursor(index)}
              onAcknowledge={() => decide.mutate({ anomaly, decision: 'acknowledge' })}
              onDismiss={() => setDismissing(anomaly)}
            />
          ))}
        </div>
      )}
      {anomalies.isFetchNextPageError && <ProblemAlert error={anomalies.error} />}
      {anomalies.hasNextPage && (
        <Button
          mt="md"
          variant="default"
          loading={anomalies.isFetchingNextPage}
          onClick={() => void anomalies.fetchNextPage()}
        >
          Load more
        </Button>
      )}
      <Modal opened={dismissing !== undefined} onClose={() => setDismissing(undefined)} title="Dismiss">
        {dismissing !== undefined && (
          <DismissForm
            onDismiss={(note) => {
              decide.mutate({ anomaly: dismissing, decision: 'dismiss', note })
              setDismissing(undefined)
            }}
          />
        )}
      </Modal>
    </>
  )
}

/** The filter of the address; the start of a time range stays put while the page is open, so that keys stay equal. */
function useFilter(search: AnomaliesSearch): AnomalyFilter {
  const now = useRef(Date.now())
  const state = search.state ?? 'open'
  return {
    ...(state === 'any' ? {} : { state }),
    ...(search.severity === undefined ? {} : { severity: search.severity }),
    ...(search.dataset === undefined ? {} : { datasetId: search.dataset }),
    ...(search.days === undefined
      ? {}
      : { from: new Date(now.current - search.days * DAY_MS).toISOString() }),
  }
}
