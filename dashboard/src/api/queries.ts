import { infiniteQueryOptions, queryOptions } from '@tanstack/react-query'
import { allPages, answer, api } from './client.ts'
import type { AnomalyState, Severity } from './entities.ts'
import { ApiProblem } from './problem.ts'

/** Who is signed in; `null` when nobody is. */
export const meQuery = queryOptions({
  queryKey: ['me'],
  staleTime: Infinity,
  queryFn: async () => {
    try {
      return await answer(api.GET('/v1/me'))
    } catch (error) {
      if (error instanceof ApiProblem && error.status === 401) return null
      throw error
    }
  },
})

/** All datasets of the tenant. */
export const datasetsQuery = queryOptions({
  queryKey: ['datasets'],
  queryFn: () => allPages((cursor) => answer(api.GET('/v1/datasets', { params: { query: paging(cursor) } }))),
})

/** One dataset by id or name. */
export const datasetQuery = (dataset: string) =>
  queryOptions({
    queryKey: ['datasets', dataset],
    queryFn: () => answer(api.GET('/v1/datasets/{dataset}', { params: { path: { dataset } } })),
  })

/** The series of a dataset, at most 2,000. */
export const seriesQuery = (datasetId: string) =>
  queryOptions({
    queryKey: ['series', datasetId],
    queryFn: () =>
      allPages((cursor) =>
        answer(
          api.GET('/v1/datasets/{dataset}/series', {
            params: { path: { dataset: datasetId }, query: paging(cursor) },
          }),
        ),
      ),
  })

/** The first series of a dataset, for a glance. */
export const firstSeriesQuery = (datasetId: string, count: number) =>
  queryOptions({
    queryKey: ['series', datasetId, 'first', count],
    staleTime: 60_000,
    queryFn: async () =>
      (
        await answer(
          api.GET('/v1/datasets/{dataset}/series', {
            params: { path: { dataset: datasetId }, query: { limit: count } },
          }),
        )
      ).items,
  })

/** All jobs of the tenant. */
export const jobsQuery = queryOptions({
  queryKey: ['jobs'],
  queryFn: () => allPages((cursor) => answer(api.GET('/v1/jobs', { params: { query: paging(cursor) } }))),
})

/** What narrows the list of anomalies. */
export interface AnomalyFilter {
  state?: AnomalyState
  severity?: Severity
  datasetId?: string
  seriesId?: number
  from?: string
}

/** Anomalies, newest first, page by page. */
export const anomaliesQuery = (filter: AnomalyFilter, limit = 50) =>
  infiniteQueryOptions({
    queryKey: ['anomalies', filter, limit],
    initialPageParam: undefined as string | undefined,
    queryFn: ({ pageParam }) =>
      answer(
        api.GET('/v1/anomalies', {
          params: { query: { ...filter, limit, ...(pageParam === undefined ? {} : { cursor: pageParam }) } },
        }),
      ),
    getNextPageParam: (page) => page.nextCursor ?? undefined,
  })

/** The API keys of the tenant. */
export const keysQuery = queryOptions({
  queryKey: ['keys'],
  queryFn: async () => (await answer(api.GET('/v1/keys'))).items,
})

/** The browsers that were signed in by links of the same key as this one. */
export const sessionsQuery = queryOptions({
  queryKey: ['sessions'],
  queryFn: async () => (await answer(api.GET('/v1/sessions'))).items,
})

/** Where findings are sent to; `null` when nowhere. */
export const webhookQuery = queryOptions({
  queryKey: ['webhook'],
  queryFn: async () => (await answer(api.GET('/v1/webhook'))) ?? null,
})

function paging(cursor: string | undefined): { limit: number; cursor?: string } {
  return cursor === undefined ? { limit: 500 } : { limit: 500, cursor }
}
