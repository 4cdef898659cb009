import type { Executor } from '../database/connection.ts'
import type { Page, PageRequest } from '../database/paging.ts'
import { NomalyError } from '../errors.ts'
import { checkSetting, findSetting, type SettingValue } from './setting-catalogue.ts'
import { type ChangeNote, type Entry, type EntryVersion, VersionedEntries } from './versioned-entries.ts'

/** Where operators change live settings; each change is a version. */
export class SettingDesk {
  readonly #entries: VersionedEntries<SettingValue>

  /** @param run as `nomaly_system`: settings belong to the installation. */
  constructor(run: Executor) {
    this.#entries = new VersionedEntries(run, undefined, 'setting')
  }

  /** Sets a value. @throws NomalyError `not_found`, `invalid_input`, `precondition_failed`. */
  async set(name: string, input: unknown, note: ChangeNote): Promise<Entry<SettingValue>> {
    const value = checkSetting(findSetting(name), input)
    return this.#entries.change(name, note, () => ({ action: 'update', value }))
  }

  /** Goes back to the default of the environment. @throws NomalyError `not_found`, `precondition_failed`. */
  async reset(name: string, note: ChangeNote): Promise<Entry<SettingValue>> {
    findSetting(name)
    return this.#entries.change(name, note, () => ({ action: 'reset', value: undefined }))
  }

  /** Takes the value of a version again, or of the last but one; 0 is the default. @throws NomalyError `not_found`. */
  async revert(name: string, version: number | undefined, note: ChangeNote): Promise<Entry<SettingValue>> {
    const setting = findSetting(name)
    return this.#entries.change(name, note, async (current) => {
      const wanted = version ?? (current?.version ?? 0) - 1
      const former = wanted === 0 ? { value: undefined } : await this.#entries.version(name, wanted)
      if (former === undefined || wanted < 0)
        throw new NomalyError('not_found', `The setting ${name} has no version ${Math.max(wanted, 0)}.`, {
          hint: `\`nomaly settings history ${name}\` lists those it has had.`,
        })
      const { value } = former
      return {
        action: 'revert',
        value: value === undefined ? undefined : checkSetting(setting, value),
        revertedTo: wanted,
      }
    })
  }

  /** Every version, newest first. @throws NomalyError `not_found`. */
  async history(
    name: string,
    page: PageRequest,
  ): Promise<Page<EntryVersion<SettingValue> & { readonly before: SettingValue | undefined }>> {
    findSetting(name)
    return this.#entries.history(name, page)
  }
}
