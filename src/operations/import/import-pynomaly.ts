import type { Tenant } from '../../access/tenants.ts'
import { whileAlone } from '../../database/advisory-lock.ts'
import { NomalyError } from '../../errors.ts'
import type { Store } from '../../store/store.ts'
import { FIRST_TENANT } from '../prepare-tenant.ts'
import { type FoundStores, findStores } from './find-stores.ts'
import type { ImportOptions } from './import-ledger.ts'
import type { ImportReport } from './import-report.ts'
import { LocalTime } from './local-time.ts'
import { planStores } from './plan-import.ts'
import { StoreImport } from './store-import.ts'

export interface PynomalyOptions {
  /** A file, or a folder with everything in it. */
  readonly path: string
  /** The tenant that everything goes into; without it tenants of the source become tenants here. */
  readonly tenant: string | undefined
  /** Of times that say no zone; UTC otherwise, and for training jobs {@link systemZone}. */
  readonly zone: string | undefined
  readonly systemZone: string
  /** Only says what would be done. */
  readonly dryRun: boolean
  /** Forgets that a source was imported before. */
  readonly again: boolean
  /** Who does it, for the audit log. */
  readonly actor: string
  readonly clock: () => number
  readonly signal: AbortSignal
  readonly onProgress?: (progress: ImportProgress) => void
}

export interface ImportProgress {
  readonly phase: 'looking' | 'importing' | 'comparing'
  /** Rows of the source that are dealt with, and how many there are. */
  readonly done: number
  readonly total: number
}

/** The order in which tables are read: what others speak of comes first. The second part may speak of other sources of the folder. */
const PHASES = [
  ['tenants', 'users', 'grants', 'datasets', 'detectors'],
  ['results', 'records', 'metrics'],
] as const

/** One import at a time: two would take each other's names. */
const LOCK = `hashtextextended('nomaly import', 0)`

/**
 * Imports what an installation of Pynomaly has on disk, or says what would be done. The source is never changed. Interrupted at any moment, it goes
 * on where it was when it is called again, and what was imported is not imported twice.
 * @throws NomalyError `invalid_input` for a source that cannot be read, `conflict` while another import runs or the source is locked or changes.
 */
export async function importPynomaly(store: Store, options: PynomalyOptions): Promise<ImportReport> {
  const { path, signal, clock, onProgress } = options
  const startedAt = new Date(clock()).toISOString()
  const zone = new LocalTime(options.zone ?? 'UTC')
  const jobsZone = new LocalTime(options.zone ?? options.systemZone)
  onProgress?.({ phase: 'looking', done: 0, total: 0 })
  using found = await findStores(path, signal)
  const lockOptions = { role: 'nomaly_system', signal } as const
  const done = await whileAlone(store.database, LOCK, lockOptions, async () => {
    const tenant = await findTenant(store, options.tenant, options.dryRun)
    const settings: ImportOptions = {
      tenantId: tenant.id,
      isOneTenant: options.tenant !== undefined,
      zone: zone.zone,
      jobsZone: jobsZone.zone,
    }
    const shared = { store, settings, zone, jobsZone, signal, actor: options.actor }
    const stores = options.dryRun
      ? await planStores(found.stores, shared, tenant, onProgress)
      : await importAll(found, shared, options)
    return { tenant, stores }
  })
  if (done === undefined)
    throw new NomalyError('conflict', 'Another import is under way in this installation.', {
      hint: 'Wait for its end; this one then finds what is left to do.',
    })
  return {
    path,
    startedAt,
    finishedAt: new Date(clock()).toISOString(),
    tenant: done.tenant.name,
    isOneTenant: options.tenant !== undefined,
    zone: zone.zone,
    jobsZone: jobsZone.zone,
    isPlan: options.dryRun,
    stores: done.stores.map(({ report }) => report),
    passedOver: found.passedOver,
    isRight: done.stores.every(({ isRight }) => isRight),
  }
}

async function importAll(
  found: FoundStores,
  shared: Omit<ConstructorParameters<typeof StoreImport>[0], 'source'>,
  { again, onProgress }: PynomalyOptions,
): Promise<Awaited<ReturnType<StoreImport['finish']>>[]> {
  const total = found.stores.flatMap(({ tables }) => tables).reduce((sum, { count }) => sum + count, 0)
  let done = 0
  const onRows = (rows: number): void => {
    done += rows
    onProgress?.({ phase: 'importing', done, total })
  }
  const imports: StoreImport[] = []
  for (const source of found.stores) {
    const one = new StoreImport({ ...shared, source })
    await one.open(again)
    imports.push(one)
  }
  for (const nouns of PHASES) for (const one of imports) await one.importTables(nouns, onRows)
  onProgress?.({ phase: 'comparing', done: 0, total: 0 })
  const reports = []
  for (const one of imports) reports.push(await one.finish())
  return reports
}

/** The tenant that was named, or the first one, which every installation has once it was started. */
async function findTenant(store: Store, name: string | undefined, dryRun: boolean): Promise<Tenant> {
  if (name !== undefined) return store.tenants.find(name)
  const tenant = (await store.tenants.list()).find((candidate) => candidate.name === FIRST_TENANT)
  if (tenant !== undefined) return tenant
  // A plan makes its own, and takes it back.
  if (dryRun)
    return { id: '00000000-0000-4000-8000-000000000000', name: FIRST_TENANT, createdAt: new Date(0) }
  return store.tenants.create(FIRST_TENANT)
}
