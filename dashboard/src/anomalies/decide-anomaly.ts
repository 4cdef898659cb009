import { type InfiniteData, useMutation, useQueryClient } from '@tanstack/react-query'
import { answer, api } from '../api/client.ts'
import type { Anomaly, AnomalyState } from '../api/entities.ts'

/** What a person can do with a finding. */
export type Decision = 'acknowledge' | 'dismiss' | 'resolve' | 'reopen'

type AnomalyPages = InfiniteData<{ items: Anomaly[]; nextCursor: string | null }>

const stateAfter: Record<Decision, AnomalyState> = {
  acknowledge: 'acknowledged',
  dismiss: 'dismissed',
  resolve: 'resolved',
  reopen: 'open',
}

/** Decides about a finding: shown at once, taken back with a notice when the server refuses. */
export function useDecideAnomaly() {
  const client = useQueryClient()
  return useMutation({
    mutationFn: ({ anomaly, decision, note }: { anomaly: Anomaly; decision: Decision; note?: string }) => {
      const options = {
        params: { path: { id: anomaly.id } },
        body: note === undefined || note === '' ? {} : { note },
      }
      const requests = {
        acknowledge: () => api.POST('/v1/anomalies/{id}/acknowledge', options),
        dismiss: () => api.POST('/v1/anomalies/{id}/dismiss', options),
        resolve: () => api.POST('/v1/anomalies/{id}/resolve', options),
        reopen: () => api.POST('/v1/anomalies/{id}/reopen', options),
      }
      return answer(requests[decision]())
    },
    onMutate: async ({ anomaly, decision, note }) => {
      await client.cancelQueries({ queryKey: ['anomalies'] })
      const before = client.getQueriesData<AnomalyPages>({ queryKey: ['anomalies'] })
      const patch: Partial<Anomaly> = { state: stateAfter[decision], ...(note ? { note } : {}) }
      client.setQueriesData<AnomalyPages>({ queryKey: ['anomalies'] }, (pages) =>
        patched(pages, anomaly.id, patch),
      )
      return { before }
    },
    onError: (_error, _variables, context) => {
      for (const [key, pages] of context?.before ?? []) client.setQueryData(key, pages)
    },
    onSuccess: (anomaly) => {
      client.setQueriesData<AnomalyPages>({ queryKey: ['anomalies'] }, (pages) =>
        patched(pages, anomaly.id, anomaly),
      )
      void client.invalidateQueries({ queryKey: ['jobs'] })
      void client.invalidateQueries({ queryKey: ['anomaly', anomaly.id] })
    },
  })
}

function patched(
  pages: AnomalyPages | undefined,
  id: string,
  patch: Partial<Anomaly>,
): AnomalyPages | undefined {
  return (
    pages && {
      ...pages,
      pages: pages.pages.map((page) => ({
        ...page,
        items: page.items.map((item) => (item.id === id ? { ...item, ...patch } : item)),
      })),
    }
  )
}
