import { answer, api } from '../api/client.ts'
import type { Dataset, Job } from '../api/entities.ts'

/** Creates a job that looks at points as they arrive, with a detector that fits itself to each series. */
export function watchDataset(dataset: Pick<Dataset, 'id' | 'name'>): Promise<Job> {
  return answer(
    api.POST('/v1/jobs', {
      body: {
        name: `Watch ${dataset.name}`,
        dataset: dataset.id,
        detector: { algorithm: 'auto' },
        schedule: { kind: 'streaming' },
      },
    }),
  )
}
