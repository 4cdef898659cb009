import type { Identity } from '../access/identity.ts'
import type { Dataset } from '../datasets/dataset.ts'
import { type DemoIncident, generateDemo } from '../demo/demo-series.ts'
import { NomalyError } from '../errors.ts'
import type { Store } from '../store/store.ts'
import type { UnitOfWork } from '../store/unit-of-work.ts'
import { appendPoints } from './append-points.ts'
import { addJob } from './manage-jobs.ts'

const DEMO_NAME = 'demo'
const STEP_MS = 300_000

export interface LoadedDemo {
  readonly datasetId: string
  readonly jobId: string
  readonly incidents: readonly DemoIncident[]
}

/** Loads the demo, or finds the one that was loaded before: nothing is there twice, however often this is called. */
export async function loadDemo(store: Store, identity: Identity, nowMs: number): Promise<LoadedDemo> {
  const { dataset, jobId } = await findOrCreate(store, identity, Math.floor(nowMs / STEP_MS) * STEP_MS)
  const { incidents, ...data } = generateDemo(Number(dataset.metadata['endMs']))
  const points = {
    ...data,
    lines: new Uint32Array(data.series.length),
    rejected: [],
    rejectedTotal: 0,
    columns: undefined,
  }
  await appendPoints(store, identity.scope, dataset, points)
  return { datasetId: dataset.id, jobId, incidents }
}

/** Dataset and job in one transaction. Points come after them, in one batch: the job sees none or all. */
async function findOrCreate(
  store: Store,
  identity: Identity,
  endMs: number,
): Promise<{ readonly dataset: Dataset; readonly jobId: string }> {
  const { value } = await store.transaction(identity.scope, async (unit) => {
    const existing = await unit.datasets.find(DEMO_NAME)
    const isDemo = typeof existing?.metadata['endMs'] === 'number'
    if (existing !== undefined && !isDemo)
      throw new NomalyError('conflict', `There is a dataset "${DEMO_NAME}" of your own.`, {
        hint: 'Rename it to load the demo.',
      })
    const dataset = existing ?? (await createDataset(unit, identity.actor, endMs))
    const { items } = await unit.jobs.list({ datasetId: dataset.id }, { limit: 1 })
    const job =
      items[0] ??
      (await addJob(unit, identity, {
        name: 'Demo shop',
        dataset: dataset.id,
        schedule: { kind: 'streaming' },
      }))
    return { dataset, jobId: job.id }
  })
  return value
}

async function createDataset(unit: UnitOfWork, actor: string, endMs: number): Promise<Dataset> {
  const dataset = await unit.datasets.create({
    name: DEMO_NAME,
    description: 'Four weeks of a made-up shop, with incidents in it.',
    metadata: { endMs },
  })
  await unit.audit.record(actor, 'demo.load', { kind: 'dataset', id: dataset.id })
  await unit.outbox.add('dataset', { id: dataset.id, change: 'created' })
  return dataset
}
