import { randomUUID } from 'node:crypto'
import type { Config } from '../../config/profiles.ts'
import { Database } from '../../database/database.ts'
import { CORE_DATABASE, METRICS_DATABASE } from '../../database/database-errors.ts'
import { openMoveSides } from '../../store/open-store.ts'
import { findDatabaseUrls } from '../connection-urls.ts'
import { metricsAdminUrl } from '../sql-logins.ts'
import { AdminSession } from './admin-session.ts'
import { eraseEverywhere } from './erase-everywhere.ts'
import { asEraser } from './eraser-lock.ts'
import type { Erasure, ErasureSubject } from './erasure.ts'
import {
  type LedgerEntry,
  noteErasure,
  noteReceipt,
  readInstallationId,
  readLedger,
} from './erasure-ledger.ts'
import type { ErasureSite, ErasureWork } from './erasure-site.ts'
import { LedgerFile } from './ledger-file.ts'
import type { ErasureBackups, Receipt } from './receipt.ts'
import type { Named } from './resolve-subject.ts'

/** Where a copy of the ledger lies that outlives the database. */
export type LedgerCopy = Pick<LedgerFile, 'read' | 'add'>

/** What an installation has beside its databases. */
export interface EraserOptions {
  /** Further copies of the ledger, such as beside the backups. */
  readonly copies?: readonly LedgerCopy[]
  /** Left out where nobody takes backups. */
  readonly backups?: ErasureBackups
  readonly log: (message: string) => void
}

/** Settings that say how the databases are worked on. */
type SiteConfig = Pick<
  Config,
  | 'acquireTimeoutMs'
  | 'statementTimeoutMs'
  | 'commitTimeoutMs'
  | 'redisUrl'
  | 'redisPrefix'
  | 'redisTimeoutMs'
>

const SETTLE_CONNECTIONS = 4

/** What an installation has, its databases connected to as administrator; `metricsUrl` is left out where they are one. */
export async function openErasureSite(
  config: SiteConfig,
  coreUrl: string,
  metricsUrl: string | undefined,
  log: (message: string) => void,
): Promise<ErasureSite & AsyncDisposable> {
  await using stack = new AsyncDisposableStack()
  const core = stack.use(await AdminSession.open(coreUrl))
  const admin = metricsUrl === undefined ? core : stack.use(await AdminSession.open(metricsUrl))
  const adminUrl = metricsUrl ?? coreUrl
  const database = stack.use(
    new Database({
      url: adminUrl,
      applicationName: 'nomaly erase',
      label: metricsUrl === undefined ? CORE_DATABASE : METRICS_DATABASE,
      budget: 'maintenance',
      maxConnections: SETTLE_CONNECTIONS,
      acquireTimeoutMs: config.acquireTimeoutMs,
      statementTimeoutMs: config.statementTimeoutMs,
      commitTimeoutMs: config.commitTimeoutMs,
      log,
    }),
  )
  const resources = stack.move()
  const { redisUrl: url, redisPrefix: prefix, redisTimeoutMs: timeoutMs } = config
  return {
    core,
    metrics: { admin, adminUrl, database, sides: openMoveSides(database, Date.now) },
    redis: url === undefined ? undefined : { url, prefix, timeoutMs },
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}

/** What an operator does to make a running installation forget something. */
export class Eraser implements AsyncDisposable {
  readonly site: ErasureSite
  readonly #copies: readonly LedgerCopy[]
  readonly #options: EraserOptions
  readonly #resources: AsyncDisposable

  private constructor(
    site: ErasureSite & AsyncDisposable,
    copies: readonly LedgerCopy[],
    options: EraserOptions,
  ) {
    this.site = site
    this.#resources = site
    this.#copies = copies
    this.#options = options
  }

  /** Connects to the installation of a configuration. @throws NomalyError `unavailable` where it does not run. */
  static async open(config: Config, options: EraserOptions): Promise<Eraser> {
    const { adminUrl } = await findDatabaseUrls(config)
    const metricsUrl = config.metricsDatabaseUrl === undefined ? undefined : metricsAdminUrl(config, adminUrl)
    const site = await openErasureSite(config, adminUrl, metricsUrl, options.log)
    const file = await LedgerFile.of(config)
    const copies = [...(file === undefined ? [] : [file]), ...(options.copies ?? [])]
    return new Eraser(site, copies, options)
  }

  /** Whether the ledger has a copy outside the database: without one a restore cannot know what was erased. */
  get hasCopy(): boolean {
    return this.#copies.length > 0
  }

  /** Oldest first. */
  ledger(): Promise<LedgerEntry[]> {
    return readLedger(this.site.core)
  }

  /**
   * Erases a subject everywhere; interrupted, {@link resume} goes on with it.
   * @throws NomalyError `conflict` where another process erases something, or points are being moved.
   */
  async erase({ subject }: Named<ErasureSubject>, requestedBy: string, work: ErasureWork): Promise<Receipt> {
    const erasure: Erasure = {
      id: randomUUID(),
      installationId: await readInstallationId(this.site.core),
      requestedAt: work.now().toISOString(),
      subject,
    }
    return asEraser(this.site, work.signal, () => this.#run(erasure, requestedBy, work))
  }

  /** Goes on with erasures that were interrupted; answers their receipts. */
  async resume(work: ErasureWork): Promise<Receipt[]> {
    return asEraser(this.site, work.signal, async () => {
      const receipts: Receipt[] = []
      for (const entry of await this.ledger())
        if (entry.receipt === undefined) receipts.push(await this.#run(entry, entry.requestedBy, work))
      return receipts
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources[Symbol.asyncDispose]()
  }

  async #run(erasure: Erasure, requestedBy: string, work: ErasureWork): Promise<Receipt> {
    // First of all, also in the copies: from here on whatever is interrupted or restored is known to be incomplete.
    await noteErasure(this.site.core, erasure, requestedBy)
    for (const copy of this.#copies) await copy.add([erasure])
    const erased = (await eraseEverywhere(this.site, [{ ...erasure, requestedBy }], work)).get(erasure.id)!
    const receipt: Receipt = {
      id: erasure.id,
      kind: erasure.subject.kind,
      requestedBy,
      requestedAt: erasure.requestedAt,
      ...erased,
      backups: await this.#backUp(work),
      finishedAt: work.now().toISOString(),
    }
    await noteReceipt(this.site.core, erasure.id, receipt)
    return receipt
  }

  async #backUp(work: ErasureWork): Promise<Receipt['backups']> {
    const { backups } = this.#options
    if (backups === undefined) return { fresh: null, olderExpireAt: null }
    work.progress?.({ step: 'taking a backup', done: 0, total: 1 })
    const begun = work.now()
    const fresh = await backups.take(work.signal)
    return { fresh, olderExpireAt: (await backups.lastExpiry(begun))?.toISOString() ?? null }
  }
}
