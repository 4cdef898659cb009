import type { Database } from '../database/database.ts'
import type { Notifier } from '../notifications/notifier.ts'
import type { Noun } from './versioned-entries.ts'

/** What holds under a key, as this process knows it. */
export interface LiveEntry {
  readonly noun: Noun
  readonly key: string
  readonly version: number
  /** `undefined`: removed. */
  readonly value: unknown
}

/** What one owner has: a tenant, or the installation, which is ''. */
export type EntriesOf = ReadonlyMap<string, LiveEntry>

/** Is told what an owner has now, whole, and which keys are other than before. */
export type EntriesListener = (
  owner: string,
  entries: readonly LiveEntry[],
  changedKeys: readonly string[],
) => void

export interface LiveEntriesOptions {
  readonly database: Database
  readonly notifier: Notifier
  readonly log: (message: string) => void
  /** How often it is looked for changes whose notice was lost. */
  readonly pollMs?: number
  /** How soon it is tried again after the database was away. */
  readonly retryMs?: number
}

interface Row {
  readonly owner: string
  readonly noun: Noun
  readonly key: string
  readonly version: number
  readonly value: unknown
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

const POLL_MS = 30_000
const RETRY_MS = 1_000
const READ_TIMEOUT_MS = 10_000
/** The installation's, as an owner. */
export const INSTALLATION = ''

/** The condition of a read; a batch takes no parameters, so that whatever is no id is left out. */
function whose(owners: readonly string[] | undefined): string {
  if (owners === undefined) return ''
  const ids = owners.filter((owner) => UUID.test(owner)).map((id) => `'${id}'`)
  const conditions = [
    ...(ids.length > 0 ? [`tenant_id in (${ids.join(', ')})`] : []),
    ...(owners.includes(INSTALLATION) ? ['tenant_id is null'] : []),
  ]
  return `where ${conditions.length === 0 ? 'false' : conditions.join(' or ')}`
}

/**
 * All flags and settings in the memory of this process: read at the start, and again when a notice says that an owner's were changed, after
 * every reconnect, and now and then in case a notice was lost. While the database is away, what is known stays.
 */
export class LiveEntries implements AsyncDisposable {
  readonly #options: LiveEntriesOptions
  readonly #listeners = new Map<Noun, EntriesListener>()
  readonly #staleListeners = new Set<(isStale: boolean) => void>()
  readonly #unsubscribe: (() => void)[] = []
  readonly #closing = new AbortController()
  readonly #dirty = new Set<string>()
  #isAllDirty = false
  #known: Map<string, EntriesOf> = new Map()
  #round: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined
  #isStale = false

  constructor(options: LiveEntriesOptions) {
    this.#options = options
  }

  /** Who is told of the flags, or of the settings; to be said before {@link start}. */
  attach(noun: Noun, listener: EntriesListener): void {
    this.#listeners.set(noun, listener)
  }

  /** Reads everything, and listens from then on. */
  async start(): Promise<void> {
    const { notifier } = this.#options
    this.#unsubscribe.push(
      notifier.subscribe(({ channel, tenantId }) => {
        if (channel === 'flags') void this.refresh(tenantId).catch(() => {})
      }),
      notifier.onReconnect(() => void this.refresh().catch(() => {})),
    )
    await this.refresh()
    this.#schedule(this.#options.pollMs ?? POLL_MS)
  }

  /** Whether the database could not be asked when it last was, so that what is known may be old. */
  get isStale(): boolean {
    return this.#isStale
  }

  /** Hears when {@link isStale} changes. Answers how to stop. */
  onStale(listener: (isStale: boolean) => void): () => void {
    this.#staleListeners.add(listener)
    return () => this.#staleListeners.delete(listener)
  }

  /** Reads what an owner has, or everything; what was committed before the call is known after it. */
  refresh(owner?: string): Promise<void> {
    if (owner === undefined) this.#isAllDirty = true
    else this.#dirty.add(owner)
    this.#round ??= this.#readAll().finally(() => {
      this.#round = undefined
    })
    return this.#round
  }

  /**
   * Has what an owner was just given hold in this process, and tells the others. The commit has told them already where notices go through
   * the database; where they do not, it is this. While the database is away, what is known stays.
   */
  async announce(owner: string): Promise<void> {
    this.#options.notifier.publish({ channel: 'flags', tenantId: owner, id: '' })
    await this.refresh(owner).catch(() => {})
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort(new Error('flags are closed'))
    clearTimeout(this.#timer)
    for (const unsubscribe of this.#unsubscribe) unsubscribe()
    await this.#round?.catch(() => {})
  }

  /** One read at a time: a later answer is never older than an earlier one. */
  async #readAll(): Promise<void> {
    while ((this.#isAllDirty || this.#dirty.size > 0) && !this.#closing.signal.aborted) {
      const owners = this.#isAllDirty ? undefined : [...this.#dirty]
      this.#isAllDirty = false
      this.#dirty.clear()
      try {
        this.#apply(await this.#read(owners), owners)
        this.#say(false)
      } catch (error) {
        // Whatever was asked for is still to be read.
        this.#isAllDirty = true
        if (this.#closing.signal.aborted) return
        this.#say(true, (error as Error).message)
        this.#schedule(this.#options.retryMs ?? RETRY_MS)
        throw error
      }
    }
  }

  #read(owners: readonly string[] | undefined): Promise<Row[]> {
    const { database } = this.#options
    const signal = AbortSignal.any([this.#closing.signal, AbortSignal.timeout(READ_TIMEOUT_MS)])
    const statement = `select coalesce(tenant_id::text, ''), noun, key, version, value from nomaly.live_entries ${whose(owners)}`
    // In one round trip: every process reads at the same moment, when a notice has come.
    return database.read({ role: 'nomaly_system', freshness: 'latest', signal }, async (connection) => {
      const [rows] = (await connection.batch([statement], 'commit')) as [
        [string, Noun, string, number, unknown][],
      ]
      return rows.map(([owner, noun, key, version, value]) => ({ owner, noun, key, version, value }))
    })
  }

  #apply(rows: readonly Row[], owners: readonly string[] | undefined): void {
    const read = new Map<string, Map<string, LiveEntry>>()
    for (const owner of owners ?? this.#known.keys()) read.set(owner, new Map())
    for (const { owner, noun, key, version, value } of rows) {
      const entries = read.get(owner) ?? new Map<string, LiveEntry>()
      read.set(owner, entries.set(`${noun} ${key}`, { noun, key, version, value: value ?? undefined }))
    }
    const before = this.#known
    this.#known = new Map([...before, ...read].filter(([, entries]) => entries.size > 0))
    for (const [owner, entries] of read) this.#tell(owner, before.get(owner), entries)
  }

  #tell(owner: string, before: EntriesOf | undefined, after: EntriesOf): void {
    for (const [noun, listener] of this.#listeners) {
      const changed: string[] = []
      for (const name of new Set([...(before?.keys() ?? []), ...after.keys()])) {
        const entry = after.get(name) ?? before!.get(name)!
        if (entry.noun === noun && before?.get(name)?.version !== after.get(name)?.version)
          changed.push(entry.key)
      }
      if (changed.length === 0) continue
      listener(
        owner,
        [...after.values()].filter((entry) => entry.noun === noun),
        changed,
      )
    }
  }

  #say(isStale: boolean, why = ''): void {
    if (this.#isStale === isStale) return
    this.#isStale = isStale
    this.#options.log(
      isStale
        ? `Flags and settings cannot be read; those known go on to hold. (${why})`
        : 'Flags and settings are read again.',
    )
    for (const listener of this.#staleListeners) listener(isStale)
  }

  #schedule(delayMs: number): void {
    clearTimeout(this.#timer)
    if (this.#closing.signal.aborted) return
    this.#timer = setTimeout(() => void this.#poll(), delayMs * (0.9 + 0.2 * Math.random())).unref()
  }

  async #poll(): Promise<void> {
    try {
      if (this.#isAllDirty || (await this.#hasChanged())) await this.refresh()
    } catch (error) {
      if (!this.#closing.signal.aborted) this.#say(true, (error as Error).message)
      this.#isAllDirty = true
    }
    this.#schedule(this.#isAllDirty ? (this.#options.retryMs ?? RETRY_MS) : (this.#options.pollMs ?? POLL_MS))
  }

  /** Looks at two numbers instead of everything: versions only ever grow. */
  async #hasChanged(): Promise<boolean> {
    const signal = AbortSignal.any([this.#closing.signal, AbortSignal.timeout(READ_TIMEOUT_MS)])
    const [row] = await this.#options.database.read(
      { role: 'nomaly_system', freshness: 'latest', signal },
      (connection) =>
        connection.query<{ stamp: string }>(
          "select count(*) || ' ' || coalesce(sum(version), 0) as stamp from nomaly.live_entries",
        ),
    )
    const all = [...this.#known.values()].flatMap((entries) => [...entries.values()])
    return row!.stamp !== `${all.length} ${all.reduce((sum, { version }) => sum + version, 0)}`
  }
}
