import type { Executor } from '../database/connection.ts'
import type { Page, PageRequest } from '../database/paging.ts'
import { NomalyError, notFound } from '../errors.ts'
import { changeDefinition, checkDefinition, createDefinition, type FlagInput } from './check-flag.ts'
import { describeChange } from './describe-change.ts'
import { FLAG_LIMITS, type FlagChange, type FlagDefinition } from './flag.ts'
import { type ChangeNote, type Entry, type EntryVersion, VersionedEntries } from './versioned-entries.ts'

/** A flag as it is kept. */
export interface Flag extends FlagDefinition {
  readonly key: string
  readonly version: number
  readonly changedAt: Date
  readonly changedBy: string
}

/** A version of a flag, and what it changed, in words. */
export interface FlagVersion extends Omit<EntryVersion<FlagDefinition>, 'value'> {
  /** `null`: removed. */
  readonly definition: FlagDefinition | null
  readonly changes: readonly string[]
}

/** The flags of a tenant, or of the installation. */
export class FlagRepository {
  readonly #entries: VersionedEntries<FlagDefinition>
  readonly #isOfTenant: boolean

  /** @param tenantId `undefined` for the installation, which takes the role `nomaly_system`. */
  constructor(run: Executor, tenantId: string | undefined) {
    this.#entries = new VersionedEntries(run, tenantId, 'flag')
    this.#isOfTenant = tenantId !== undefined
  }

  async list(page: PageRequest): Promise<Page<Flag>> {
    const { items, nextCursor } = await this.#entries.list(page)
    return { items: items.map((entry) => toFlag(entry)!), nextCursor }
  }

  /** @throws NomalyError `not_found`. */
  async get(key: string): Promise<Flag> {
    return required(key, toFlag(await this.#entries.find(key)))
  }

  /** @throws NomalyError `invalid_input`; `conflict` where there is one, or there are too many. */
  async create(key: string, input: FlagInput, note: ChangeNote): Promise<Flag> {
    const value = createDefinition(key, input, this.#isOfTenant)
    if ((await this.#entries.count()) >= FLAG_LIMITS.flags)
      throw new NomalyError(
        'conflict',
        `There are ${FLAG_LIMITS.flags} flags already, which is the most there may be.`,
        {
          hint: 'Delete those that nobody asks for any more.',
        },
      )
    const entry = await this.#entries.change(key, note, (current) => {
      if (current?.value !== undefined)
        throw new NomalyError('conflict', `There is a flag "${key}" already.`, {
          hint: 'Change that one, or take another key.',
        })
      return { action: 'create', value }
    })
    return toFlag(entry)!
  }

  /** @throws NomalyError `not_found`, `invalid_input`, `precondition_failed`. */
  async update(key: string, change: FlagChange, note: ChangeNote): Promise<Flag> {
    return this.edit(key, () => change, note)
  }

  /** The same, with a change that is made up from what is there, which nobody else changes meanwhile. */
  async edit(key: string, change: (flag: Flag) => FlagChange, note: ChangeNote): Promise<Flag> {
    const entry = await this.#entries.change(key, note, (current) => {
      const { key: _, version, changedAt, changedBy, ...before } = required(key, toFlag(current))
      const value = changeDefinition(
        before,
        change({ key, version, changedAt, changedBy, ...before }),
        this.#isOfTenant,
      )
      return { action: 'update', value }
    })
    return toFlag(entry)!
  }

  /** Takes the state of a version again, as a new version; also of a flag that was removed. @throws NomalyError `not_found`. */
  async revert(key: string, version: number, note: ChangeNote): Promise<Flag> {
    const entry = await this.#entries.change(key, note, async (current) => {
      if (current === undefined) throw notFound('flag', key)
      const former = await this.#entries.version(key, version)
      if (former?.value === undefined)
        throw new NomalyError(
          'not_found',
          former === undefined
            ? `The flag "${key}" has no version ${version}.`
            : `Version ${version} of the flag "${key}" is that it was removed.`,
          { hint: 'Look at its history for one that can be taken again.' },
        )
      return { action: 'revert', value: checkDefinition(former.value, this.#isOfTenant), revertedTo: version }
    })
    return toFlag(entry)!
  }

  /** @throws NomalyError `not_found`, `precondition_failed`. */
  async remove(key: string, note: ChangeNote): Promise<void> {
    await this.#entries.change(key, note, (current) => {
      required(key, toFlag(current))
      return { action: 'delete', value: undefined }
    })
  }

  /** Every version, newest first; also of a flag that was removed. @throws NomalyError `not_found` for what never was. */
  async history(key: string, page: PageRequest): Promise<Page<FlagVersion>> {
    const { items, nextCursor } = await this.#entries.history(key, page)
    if (items.length === 0 && page.cursor === undefined) throw notFound('flag', key)
    return {
      items: items.map(({ value, before, ...rest }) => ({
        ...rest,
        definition: value ?? null,
        changes: describeChange(before, value),
      })),
      nextCursor,
    }
  }
}

function toFlag(entry: Entry<FlagDefinition> | undefined): Flag | undefined {
  if (entry?.value === undefined) return undefined
  const { key, version, changedAt, changedBy, value } = entry
  return { key, version, changedAt, changedBy, ...value }
}

function required(key: string, flag: Flag | undefined): Flag {
  if (flag === undefined) throw notFound('flag', key)
  return flag
}
