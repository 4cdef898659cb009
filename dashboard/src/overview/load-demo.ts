import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useNavigate } from '@tanstack/react-router'
import { answer, api } from '../api/client.ts'
import { rememberIncidents } from '../datasets/known-incidents.ts'

/** Loads four weeks of generated business metrics and goes to them. */
export function useLoadDemo() {
  const client = useQueryClient()
  const navigate = useNavigate()
  return useMutation({
    mutationFn: () => answer(api.POST('/v1/demo')),
    onSuccess: async (demo) => {
      rememberIncidents(demo.datasetId, demo.incidents)
      for (const key of ['datasets', 'jobs', 'anomalies']) void client.invalidateQueries({ queryKey: [key] })
      await navigate({ to: '/datasets/$dataset', params: { dataset: demo.datasetId } })
    },
  })
}
