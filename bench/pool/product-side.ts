import { randomBytes } from 'node:crypto'
import type { TenantScope } from '../../src/access/tenant-scope.ts'
import { validateDetectorSettings } from '../../src/detection/algorithms.ts'
import type { Store } from '../../src/store/store.ts'
import {
  type Act,
  type Mix,
  MIXES,
  STOCK,
  type Throughput,
  throughput,
  type TransactionalSide,
} from './mix.ts'

/** The product's own repositories, with its walls between tenants, its audit log and its commit markers: one process, all clients in it. */
export class ProductSide implements TransactionalSide {
  readonly #store: Store
  readonly #scope: TenantScope
  readonly #jobIds: string[] = []
  readonly #hashes: Buffer[] = []
  #datasetId = ''
  #detectorId = ''

  private constructor(store: Store, scope: TenantScope) {
    this.#store = store
    this.#scope = scope
  }

  static async fill(store: Store): Promise<ProductSide> {
    const { id: tenantId } = await store.tenants.create('transactional')
    const side = new ProductSide(store, { tenantId })
    await side.#fill()
    return side
  }

  async measure(mix: Mix, clients: number, seconds: number): Promise<Throughput> {
    const acts = MIXES[mix]
    const untilMs = performance.now() + seconds * 1_000
    const latenciesMs: number[] = []
    const work = async (client: number): Promise<void> => {
      for (let turn = client; performance.now() < untilMs; turn++) {
        const startedAt = performance.now()
        await this.do(acts[turn % acts.length]!, turn * 7_919)
        latenciesMs.push(performance.now() - startedAt)
      }
    }
    await Promise.all(Array.from({ length: clients }, (_, client) => work(client)))
    return throughput(latenciesMs, seconds)
  }

  /** Does one thing, to whatever a number points at. */
  async do(act: Act, number: number, signal?: AbortSignal): Promise<void> {
    const repositories = this.#store.read(this.#scope, 'latest', signal)
    const jobId = this.#jobIds[number % this.#jobIds.length]!
    switch (act) {
      case 'read job':
        await repositories.jobs.get(jobId)
        return
      case 'list jobs':
        await repositories.jobs.list({}, { limit: 20 })
        return
      case 'read setting':
        await repositories.settings.get(`setting ${number % STOCK.settings}`)
        return
      case 'read user':
        await this.#store.database.read(
          { role: 'nomaly_system', freshness: 'latest', signal },
          (connection) =>
            connection.query(
              `select k.id, k.role, t.id as tenant_id, t.name from nomaly.api_keys k
             join nomaly.tenants t on t.id = k.tenant_id where key_hash = $1 and revoked_at is null`,
              [this.#hashes[number % this.#hashes.length]],
            ),
        )
        return
      case 'change job':
        await this.#store.transaction(
          this.#scope,
          async (unit) => {
            await unit.jobs.setStatus(jobId, number % 2 === 0 ? 'running' : 'pending')
            await unit.audit.record('bench', 'job.change', { kind: 'job', id: jobId })
          },
          signal,
        )
        return
      case 'make job':
        await this.#store.transaction(
          this.#scope,
          async (unit) => {
            const { id } = await unit.jobs.create(this.#newJob(`made ${number}`))
            await unit.audit.record('bench', 'job.create', { kind: 'job', id })
          },
          signal,
        )
        return
      case 'change setting':
        await this.#store.transaction(
          this.#scope,
          (unit) => unit.settings.set(`setting ${number % STOCK.settings}`, { value: number }, 'bench'),
          signal,
        )
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  async #fill(): Promise<void> {
    const { value } = await this.#store.transaction(this.#scope, async (unit) => {
      const dataset = await unit.datasets.create({ name: 'bench', description: '', retention: 'year' })
      const detector = await unit.detectors.findOrCreate('bench', validateDetectorSettings({}))
      return { datasetId: dataset.id, detectorId: detector.id }
    })
    this.#datasetId = value.datasetId
    this.#detectorId = value.detectorId
    await this.#store.transaction(this.#scope, async (unit) => {
      for (let job = 0; job < STOCK.jobs; job++)
        this.#jobIds.push((await unit.jobs.create(this.#newJob(`job ${job}`))).id)
      for (let setting = 0; setting < STOCK.settings; setting++)
        await unit.settings.set(`setting ${setting}`, { value: setting }, 'bench')
    })
    for (let user = 0; user < STOCK.users; user++) this.#hashes.push(randomBytes(32))
    await this.#store.database.transaction({ role: 'nomaly_app', scope: this.#scope }, (connection) =>
      connection.query(
        `insert into nomaly.api_keys (tenant_id, name, role, key_hash, prefix)
         select $1, 'user', 'viewer', hash, 'bench' from unnest($2::bytea[]) hash`,
        [this.#scope.tenantId, this.#hashes],
      ),
    )
  }

  #newJob(name: string) {
    return {
      name,
      datasetId: this.#datasetId,
      detectorId: this.#detectorId,
      schedule: { kind: 'once' },
      selector: {},
      nextRunAt: undefined,
    } as const
  }
}
