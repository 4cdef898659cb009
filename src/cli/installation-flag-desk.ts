import { notFound } from '../errors.ts'
import type { FlagInput } from '../flags/check-flag.ts'
import type { FlagContext } from '../flags/evaluation.ts'
import type { FlagChange } from '../flags/flag.ts'
import type { Flag, FlagRepository } from '../flags/flag-repository.ts'
import type { Store } from '../store/store.ts'
import type { EvaluationView, FlagDesk, FlagVersionView, FlagView } from './flag-desk.ts'

/** The flags of the installation, on its database: for operators. */
export class InstallationFlagDesk implements FlagDesk {
  readonly #store: Store
  readonly #actor: string
  readonly #names: ReadonlyMap<string, string>

  private constructor(store: Store, actor: string, names: ReadonlyMap<string, string>) {
    this.#store = store
    this.#actor = actor
    this.#names = names
  }

  static async open(store: Store, actor: string): Promise<InstallationFlagDesk> {
    const tenants = await store.tenants.list()
    return new InstallationFlagDesk(store, actor, new Map(tenants.map(({ id, name }) => [id, name])))
  }

  async list(limit: number): Promise<FlagView[]> {
    const { items } = await this.#store.flags.look((flags) => flags.list({ limit }))
    return items.map(present)
  }

  async get(key: string): Promise<FlagView> {
    return present(await this.#store.flags.look((flags) => flags.get(key)))
  }

  async create(key: string, input: FlagInput, note?: string): Promise<FlagView> {
    return present(await this.#operate((flags) => flags.create(key, input, { actor: this.#actor, note })))
  }

  async edit(key: string, change: (flag: FlagView) => FlagChange, note?: string): Promise<FlagView> {
    const edit = (flag: Flag): FlagChange => change(present(flag))
    return present(await this.#operate((flags) => flags.edit(key, edit, { actor: this.#actor, note })))
  }

  remove(key: string, note?: string): Promise<void> {
    return this.#operate((flags) => flags.remove(key, { actor: this.#actor, note }))
  }

  async revert(key: string, version: number, note?: string): Promise<FlagView> {
    return present(await this.#operate((flags) => flags.revert(key, version, { actor: this.#actor, note })))
  }

  async history(key: string, limit: number): Promise<FlagVersionView[]> {
    const { items } = await this.#store.flags.look((flags) => flags.history(key, { limit }))
    return items.map((version) => ({ ...version, changedAt: version.changedAt.toISOString() }))
  }

  async evaluate(key: string, context: FlagContext, tenant?: string): Promise<EvaluationView> {
    const tenantId = tenant === undefined ? undefined : await this.tenantId(tenant)
    const { variant = null, ...rest } = this.#store.flags.evaluateInstallation(key, context, tenantId)
    if (rest.errorCode === 'FLAG_NOT_FOUND') throw notFound('flag', key)
    return { key, variant, ...rest }
  }

  async tenantId(name: string): Promise<string> {
    for (const [id, known] of this.#names) if (name === known || name === id) return id
    throw notFound('tenant', name)
  }

  tenantName(id: string): string {
    return this.#names.get(id) ?? id
  }

  #operate<T>(work: (flags: FlagRepository) => Promise<T>): Promise<T> {
    return this.#store.flags.operate(work)
  }
}

function present({ changedAt, ...flag }: Flag): FlagView {
  return { ...flag, changedAt: changedAt.toISOString() }
}
