import { useMutation, useQueryClient } from '@tanstack/react-query'
import { answer, api } from '../api/client.ts'
import type { Job } from '../api/entities.ts'

/** What can be done with a job. */
export type JobAction = 'run' | 'pause' | 'resume' | 'cancel' | 'delete'

/** Does something with a job and re-reads the list. */
export function useJobAction({ id }: Job) {
  const client = useQueryClient()
  const path = { params: { path: { id } } }
  return useMutation({
    mutationFn: (action: JobAction): Promise<unknown> => {
      const requests: Record<JobAction, () => Promise<unknown>> = {
        run: () => answer(api.POST('/v1/jobs/{id}/runs', path)),
        pause: () => answer(api.POST('/v1/jobs/{id}/pause', path)),
        resume: () => answer(api.POST('/v1/jobs/{id}/resume', path)),
        cancel: () => answer(api.POST('/v1/jobs/{id}/cancel', path)),
        delete: () => answer(api.DELETE('/v1/jobs/{id}', path)),
      }
      return requests[action]()
    },
    onSettled: (_result, _error, action) => {
      if (action === 'delete') void client.invalidateQueries({ queryKey: ['anomalies'] })
      return client.invalidateQueries({ queryKey: ['jobs'] })
    },
  })
}
