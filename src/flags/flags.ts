import { createHash } from 'node:crypto'
import type { Database } from '../database/database.ts'
import { checkDefinition } from './check-flag.ts'
import { CompiledFlag } from './compiled-flag.ts'
import { type Evaluation, failedEvaluation, FLAG_NOT_FOUND, type FlagContext } from './evaluation.ts'
import type { FlagDefinition } from './flag.ts'
import { FlagRepository } from './flag-repository.ts'
import { INSTALLATION, type LiveEntries, type LiveEntry } from './live-entries.ts'
import { type Ruleset, rulesFor } from './ruleset.ts'

/** What changed: whose flags (`undefined` are the installation's, which every tenant has too), and which. */
export interface FlagsChange {
  readonly tenantId: string | undefined
  readonly keys: readonly string[]
}

interface OwnedFlags {
  readonly flags: ReadonlyMap<string, CompiledFlag>
  readonly broken: ReadonlyMap<string, Evaluation>
  /** Grows with every change. */
  readonly revision: number
}

const NONE: OwnedFlags = { flags: new Map(), broken: new Map(), revision: 0 }
const RULESET_CACHE = 1_000

/** All flags, ready in the memory of this process. */
export class Flags {
  readonly #database: Database
  readonly #entries: LiveEntries
  readonly #log: (message: string) => void
  readonly #listeners = new Set<(change: FlagsChange) => void>()
  readonly #owners = new Map<string, OwnedFlags>()
  readonly #rulesets = new Map<string, Ruleset>()
  #installation = NONE

  /** Flags are there once `entries` are started. */
  constructor(database: Database, entries: LiveEntries, log: (message: string) => void) {
    this.#database = database
    this.#entries = entries
    this.#log = log
    entries.attach('flag', (owner, all, keys) => this.#apply(owner, all, keys))
  }

  /**
   * What a flag comes out as: the tenant's own, or else the installation's of that key.
   * @param tenantId `undefined` for flags of the installation, for nobody in particular.
   */
  evaluate(tenantId: string | undefined, key: string, context: FlagContext): Evaluation {
    const own = tenantId === undefined ? undefined : this.#owners.get(tenantId)
    const flag = own?.flags.get(key)
    if (flag !== undefined) return flag.evaluate(context, tenantId)
    return own?.broken.get(key) ?? this.evaluateInstallation(key, context, tenantId)
  }

  /** What a flag of the installation comes out as, whatever flags the tenant has: for decisions of the operator's. */
  evaluateInstallation(key: string, context: FlagContext, tenantId?: string): Evaluation {
    const { flags, broken } = this.#installation
    return flags.get(key)?.evaluate(context, tenantId) ?? broken.get(key) ?? FLAG_NOT_FOUND
  }

  /** Everything that decides about a tenant's flags, to be evaluated elsewhere; other tenants do not occur in it. */
  ruleset(tenantId: string): Ruleset {
    const known = this.#rulesets.get(tenantId)
    if (known !== undefined) return known
    const own = this.#owners.get(tenantId) ?? NONE
    const flags: Record<string, FlagDefinition> = {}
    for (const [key, { definition }] of this.#installation.flags) flags[key] = rulesFor(definition, tenantId)
    for (const key of own.broken.keys()) delete flags[key]
    for (const [key, { definition }] of own.flags) flags[key] = definition
    const revision = own.revision + this.#installation.revision
    const digest = createHash('sha256').update(JSON.stringify(flags)).digest('base64url').slice(0, 16)
    const ruleset = { revision, etag: `"${revision}-${digest}"`, flags }
    if (this.#rulesets.size >= RULESET_CACHE) this.#rulesets.clear()
    this.#rulesets.set(tenantId, ruleset)
    return ruleset
  }

  /** Whether the database could not be asked when it last was, so that flags may be old. */
  get isStale(): boolean {
    return this.#entries.isStale
  }

  /** Hears when {@link isStale} changes. Answers how to stop. */
  onStale(listener: (isStale: boolean) => void): () => void {
    return this.#entries.onStale(listener)
  }

  /** Hears of every change, once it holds in this process. Answers how to stop. */
  onChange(listener: (change: FlagsChange) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Waits until what is committed now holds in this process; where the database is away, what is known goes on to hold. */
  async refresh(tenantId?: string): Promise<void> {
    await this.#entries.refresh(tenantId ?? INSTALLATION).catch(() => {})
  }

  /** Has what was just changed of a tenant's flags hold in this process, and in the others soon. */
  async announce(tenantId: string): Promise<void> {
    await this.#entries.announce(tenantId)
  }

  /** Reads flags of the installation: for operators. */
  look<T>(work: (flags: FlagRepository) => Promise<T>): Promise<T> {
    return this.#database.read({ role: 'nomaly_system', freshness: 'latest' }, (connection) =>
      work(new FlagRepository((run) => run(connection), undefined)),
    )
  }

  /** Changes flags of the installation in one transaction: for operators. */
  async operate<T>(work: (flags: FlagRepository) => Promise<T>): Promise<T> {
    const { value } = await this.#database.transaction({ role: 'nomaly_system' }, (connection) =>
      work(new FlagRepository((run) => run(connection), undefined)),
    )
    await this.#entries.announce(INSTALLATION)
    return value
  }

  #apply(owner: string, entries: readonly LiveEntry[], keys: readonly string[]): void {
    const before = owner === INSTALLATION ? this.#installation : (this.#owners.get(owner) ?? NONE)
    const flags = new Map<string, CompiledFlag>()
    const broken = new Map<string, Evaluation>()
    const changed = new Set(keys)
    let revision = 0
    for (const { key, version, value } of entries) {
      revision += version
      if (value === undefined) continue
      const known = changed.has(key) ? undefined : before.flags.get(key)
      try {
        flags.set(
          key,
          known ?? new CompiledFlag(checkDefinition(value as FlagDefinition, owner !== INSTALLATION)),
        )
      } catch (error) {
        const reason = (error as Error).message
        broken.set(key, failedEvaluation('PARSE_ERROR', `The flag cannot be read: ${reason}`))
        if (changed.has(key)) this.#log(`The flag "${key}" cannot be read by this version: ${reason}`)
      }
    }
    const owned = { flags, broken, revision }
    if (owner === INSTALLATION) {
      this.#installation = owned
      this.#rulesets.clear()
    } else {
      if (entries.length === 0) this.#owners.delete(owner)
      else this.#owners.set(owner, owned)
      this.#rulesets.delete(owner)
    }
    const change = { tenantId: owner === INSTALLATION ? undefined : owner, keys }
    for (const listener of this.#listeners) listener(change)
  }
}
