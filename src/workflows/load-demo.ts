import type { Identity } from '../access/identity.ts'
import type { Dataset } from '../datasets/dataset.ts'
import { type DemoIncident, generateDemo } from '../demo/demo-series.ts'
import type { Store } from '../store/store.ts'
import { appendPoints } from './append-points.ts'
import { createJob } from './manage-jobs.ts'

const DEMO_NAME = 'demo'
const STEP_MS = 300_000

export interface LoadedDemo {
  readonly datasetId: string
  readonly jobId: string
  readonly incidents: readonly DemoIncident[]
}

/** Loads the demo, or finds the one that was loaded before: nothing is there twice, however often this is called. */
export async function loadDemo(store: Store, identity: Identity, nowMs: number): Promise<LoadedDemo> {
  const { scope, actor } = identity
  const dataset = await findOrCreate(store, identity, Math.floor(nowMs / STEP_MS) * STEP_MS)
  const { incidents, ...data } = generateDemo(Number(dataset.metadata['endMs']))
  const points = { ...data, lines: new Uint32Array(data.series.length), rejected: [], rejectedTotal: 0, columns: undefined }
  await appendPoints(store, scope, dataset, points)
  const { items } = await store.read(scope, 'latest').jobs.list({ datasetId: dataset.id }, { limit: 1 })
  const [existing] = items
  if (existing !== undefined) return { datasetId: dataset.id, jobId: existing.id, incidents }
  const { value: job } = await createJob(
    store,
    { ...identity, actor },
    { name: 'Demo shop', dataset: dataset.id, schedule: { kind: 'streaming' } },
  )
  return { datasetId: dataset.id, jobId: job.id, incidents }
}

async function findOrCreate(store: Store, { scope, actor }: Identity, endMs: number): Promise<Dataset> {
  const existing = await store.read(scope, 'latest').datasets.find(DEMO_NAME)
  if (typeof existing?.metadata['endMs'] === 'number') return existing
  const { value } = await store.transaction(scope, async (unit) => {
    const dataset = await unit.datasets.create({
      // A dataset of the user's own that has this name already is left alone.
      name: existing === undefined ? DEMO_NAME : `${DEMO_NAME}-${endMs}`,
      description: 'Four weeks of a made-up shop, with incidents in it.',
      metadata: { endMs },
    })
    await unit.audit.record(actor, 'demo.load', { kind: 'dataset', id: dataset.id })
    await unit.outbox.add('dataset', { id: dataset.id, change: 'created' })
    return dataset
  })
  return value
}
