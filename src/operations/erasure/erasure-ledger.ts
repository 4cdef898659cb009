import type { AdminSession } from './admin-session.ts'
import type { Erasure, ErasedCounts, ErasureSubject } from './erasure.ts'
import type { Receipt } from './receipt.ts'

/** What is done of an erasure already: whoever goes on with it begins there. */
export interface ErasureProgress {
  /** What was removed, and whether all of it is. */
  readonly removed?: ErasedCounts
  readonly isRemoved?: boolean
  /** Tables that hold dead rows of it still, by database. */
  readonly tables?: Readonly<Record<string, readonly string[]>>
  /** Tables that were rewritten, by database. */
  readonly rewritten?: Readonly<Record<string, readonly string[]>>
}

/** An erasure as the ledger has it. */
export interface LedgerEntry extends Erasure {
  readonly requestedBy: string
  readonly progress: ErasureProgress
  /** `undefined` while it is not finished. */
  readonly receipt: Receipt | undefined
}

interface LedgerRow {
  readonly id: string
  readonly subject: Omit<ErasureSubject, 'kind'>
  readonly kind: ErasureSubject['kind']
  readonly requested_by: string
  readonly requested_at: Date
  readonly progress: ErasureProgress
  readonly receipt: Receipt | null
}

/** The id of the installation that a core database belongs to. */
export async function readInstallationId(core: AdminSession): Promise<string> {
  const [row] = await core.ask<{ id: string }>('nomaly_system', 'select id from nomaly.installation')
  return row!.id
}

/** The ledger of a core database, oldest first. */
export async function readLedger(core: AdminSession): Promise<LedgerEntry[]> {
  const installationId = await readInstallationId(core)
  const rows = await core.ask<LedgerRow>(
    'nomaly_system',
    'select id, kind, subject, requested_by, requested_at, progress, receipt from nomaly.erasures order by requested_at, id',
  )
  return rows.map((row) => ({
    id: row.id,
    installationId,
    requestedAt: row.requested_at.toISOString(),
    subject: { kind: row.kind, ...row.subject } as ErasureSubject,
    requestedBy: row.requested_by,
    progress: row.progress,
    receipt: row.receipt ?? undefined,
  }))
}

/** Notes an erasure before anything of it is done; one that stands there stays as it is. */
export async function noteErasure(
  core: AdminSession,
  { id, requestedAt, subject: { kind, ...subject } }: Erasure,
  requestedBy: string,
): Promise<void> {
  await core.ask(
    'nomaly_owner',
    `insert into nomaly.erasures (id, kind, subject, requested_by, requested_at) values ($1, $2, $3, $4, $5)
     on conflict (id) do nothing`,
    [id, kind, JSON.stringify(subject), requestedBy, requestedAt],
  )
}

export async function noteProgress(core: AdminSession, id: string, progress: ErasureProgress): Promise<void> {
  await core.ask('nomaly_owner', 'update nomaly.erasures set progress = $2 where id = $1', [
    id,
    JSON.stringify(progress),
  ])
}

export async function noteReceipt(core: AdminSession, id: string, receipt: Receipt): Promise<void> {
  await core.ask('nomaly_owner', 'update nomaly.erasures set receipt = $2, finished_at = $3 where id = $1', [
    id,
    JSON.stringify(receipt),
    receipt.finishedAt,
  ])
}

/** Ids of the erasures that a database has seen done. */
export async function readApplied(database: AdminSession): Promise<Set<string>> {
  const rows = await database.ask<{ id: string }>('nomaly_system', 'select id from nomaly.applied_erasures')
  return new Set(rows.map(({ id }) => id))
}

/** Notes in a database that what an erasure removes is gone from it. */
export async function noteApplied(database: AdminSession, id: string): Promise<void> {
  await database.ask(
    'nomaly_owner',
    'insert into nomaly.applied_erasures (id) values ($1) on conflict (id) do nothing',
    [id],
  )
}
