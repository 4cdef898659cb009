// One client of SQLite, in a thread with a connection of its own, as one uses it from several threads.
import { randomUUID } from 'node:crypto'
import { DatabaseSync } from 'node:sqlite'
import { parentPort, workerData } from 'node:worker_threads'
import { type Act, type Mix, MIXES, STOCK } from './mix.ts'
import { SQLITE_PRAGMAS } from './sqlite-schema.ts'

/** What a client is told, and answers: how long each act took. */
export interface ClientOrder {
  readonly path: string
  readonly mix: Mix
  readonly client: number
  readonly seconds: number
  readonly tenantId: string
  readonly datasetId: string
  readonly detectorId: string
}

const order = workerData as ClientOrder
const database = new DatabaseSync(order.path)
database.exec(SQLITE_PRAGMAS)
const statements = {
  job: database.prepare(
    `select j.*, d.name as dataset_name, t.name as detector_name from jobs j join datasets d on d.id = j.dataset_id
     join detectors t on t.id = j.detector_id where j.tenant_id = ? and j.id = ?`,
  ),
  list: database.prepare(
    `select j.*, d.name as dataset_name, t.name as detector_name from jobs j join datasets d on d.id = j.dataset_id
     join detectors t on t.id = j.detector_id where j.tenant_id = ? order by j.created_at desc, j.id desc limit 21`,
  ),
  user: database.prepare(
    'select k.id, k.role, t.id as tenant_id, t.name from api_keys k join tenants t on t.id = k.tenant_id where key_hash = ? and revoked_at is null',
  ),
  setting: database.prepare('select value from settings where tenant_id = ? and name = ?'),
  setStatus: database.prepare(
    'update jobs set status = ?, updated_at = current_timestamp where tenant_id = ? and id = ?',
  ),
  make: database.prepare(
    `insert into jobs (id, tenant_id, name, dataset_id, detector_id, schedule) values (?, ?, ?, ?, ?, '{"kind":"once"}')`,
  ),
  audit: database.prepare(
    "insert into audit_log (tenant_id, actor, action, subject_kind, subject_id) values (?, 'bench', ?, 'job', ?)",
  ),
  set: database.prepare(
    `insert into settings (tenant_id, name, value, updated_by) values (?, ?, ?, 'bench')
     on conflict do update set value = excluded.value, updated_by = excluded.updated_by, updated_at = current_timestamp`,
  ),
}
const jobIds = database
  .prepare('select id from jobs limit ?')
  .all(STOCK.jobs)
  .map(({ id }) => String(id))
const hashes = database
  .prepare('select key_hash from api_keys')
  .all()
  .map((row) => row['key_hash'] as Uint8Array)

parentPort!.once('message', () => {
  const acts = MIXES[order.mix]
  const untilMs = performance.now() + order.seconds * 1_000
  const latenciesMs: number[] = []
  for (let turn = order.client; performance.now() < untilMs; turn++) {
    const startedAt = performance.now()
    act(acts[turn % acts.length]!, turn * 7_919)
    latenciesMs.push(performance.now() - startedAt)
  }
  database.close()
  parentPort!.postMessage(latenciesMs)
})
parentPort!.postMessage('ready')

function act(what: Act, number: number): void {
  const { tenantId } = order
  const jobId = jobIds[number % jobIds.length]!
  switch (what) {
    case 'read job':
      statements.job.get(tenantId, jobId)
      return
    case 'list jobs':
      statements.list.all(tenantId)
      return
    case 'read setting':
      statements.setting.get(tenantId, `setting ${number % STOCK.settings}`)
      return
    case 'read user':
      statements.user.get(hashes[number % hashes.length]!)
      return
    case 'change job':
      inTransaction(() => {
        statements.setStatus.run(number % 2 === 0 ? 'running' : 'pending', tenantId, jobId)
        statements.audit.run(tenantId, 'job.change', jobId)
      })
      return
    case 'make job':
      inTransaction(() => {
        const id = randomUUID()
        statements.make.run(id, tenantId, `made ${number}`, order.datasetId, order.detectorId)
        statements.audit.run(tenantId, 'job.create', id)
      })
      return
    case 'change setting':
      inTransaction(() => {
        statements.set.run(tenantId, `setting ${number % STOCK.settings}`, JSON.stringify({ value: number }))
      })
  }
}

function inTransaction(work: () => void): void {
  // Takes the lock for writing at once: a read that becomes a write may fail where another one was faster.
  database.exec('begin immediate')
  work()
  database.exec('commit')
}
