import type { LiveOption } from '../config/live-options.ts'
import type { Config } from '../config/profiles.ts'
import type { Database } from '../database/database.ts'
import { INSTALLATION, type LiveEntries, type LiveEntry } from './live-entries.ts'
import { checkSetting, LIVE_SETTINGS, type LiveSetting, type SettingValue } from './setting-catalogue.ts'
import { SettingDesk } from './setting-desk.ts'

/** The values of all live settings. */
export type LiveValues = Pick<Config, LiveOption>

/** A live setting as it holds in this process. */
export interface SettingState extends LiveSetting {
  readonly value: SettingValue
  /** What holds without a change: from the environment of this process. */
  readonly fallback: SettingValue
  /** Whether it was changed, and so not the environment decides. */
  readonly isChanged: boolean
  /** 0 where it never was changed. */
  readonly version: number
}

/** The live settings of the installation, in the memory of this process. */
export class LiveSettings {
  readonly #log: (message: string) => void
  readonly #defaults: LiveValues
  readonly #listeners = new Set<(option: LiveOption) => void>()
  readonly #versions = new Map<string, number>()
  #changed: Partial<Record<LiveOption, SettingValue>> = {}
  #entries: LiveEntries | undefined
  #database: Database | undefined
  /** What holds now; a property is asked anew each time it is read. */
  readonly values: LiveValues

  constructor(defaults: LiveValues, log: (message: string) => void) {
    this.#defaults = defaults
    this.#log = log
    this.values = this.follow(defaults)
  }

  /** Takes what is changed from there on from the database. */
  connect(database: Database, entries: LiveEntries): void {
    this.#database = database
    this.#entries = entries
    entries.attach('setting', (owner, all) => {
      if (owner === INSTALLATION) this.#apply(all)
    })
  }

  /** The same settings, of which the live ones are what holds whenever they are read. A copy of it is as of that moment. */
  follow<T extends LiveValues>(config: T): T {
    const following = { ...config }
    for (const { option } of LIVE_SETTINGS)
      Object.defineProperty(following, option, {
        get: () => this.#changed[option] ?? config[option],
        enumerable: true,
      })
    return following
  }

  /** All of them. */
  list(): SettingState[] {
    return LIVE_SETTINGS.map((setting) => this.state(setting))
  }

  state(setting: LiveSetting): SettingState {
    const { option, name } = setting
    const changed = this.#changed[option]
    const fallback = this.#defaults[option]
    return {
      ...setting,
      value: changed ?? fallback,
      fallback,
      isChanged: changed !== undefined,
      version: this.#versions.get(name) ?? 0,
    }
  }

  /** Hears when another value holds in this process. Answers how to stop. */
  onChange(listener: (option: LiveOption) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Reads what settings were: for operators. */
  look<T>(work: (settings: SettingDesk) => Promise<T>): Promise<T> {
    return this.#database!.read({ role: 'nomaly_system', freshness: 'latest' }, (connection) =>
      work(new SettingDesk((run) => run(connection))),
    )
  }

  /** Changes settings in one transaction: for operators. */
  async operate<T>(work: (settings: SettingDesk) => Promise<T>): Promise<T> {
    const { value } = await this.#database!.transaction({ role: 'nomaly_system' }, (connection) =>
      work(new SettingDesk((run) => run(connection))),
    )
    await this.#entries!.announce(INSTALLATION)
    return value
  }

  #apply(entries: readonly LiveEntry[]): void {
    const before = this.#changed
    const after: typeof before = {}
    this.#versions.clear()
    for (const { key, version, value } of entries) {
      this.#versions.set(key, version)
      const setting = LIVE_SETTINGS.find(({ name }) => name === key)
      // Of another version of the product: it is kept, and does nothing here.
      if (setting === undefined || value === undefined) continue
      try {
        after[setting.option] = checkSetting(setting, value)
      } catch (error) {
        this.#log(`The live setting ${key} is left at its default: ${(error as Error).message}`)
      }
    }
    this.#changed = after
    for (const { option } of LIVE_SETTINGS)
      if (before[option] !== after[option]) for (const listener of this.#listeners) listener(option)
  }
}
