import { notFound } from '../errors.ts'
import type { FlagInput } from '../flags/check-flag.ts'
import type { FlagContext } from '../flags/evaluation.ts'
import type { FlagChange, FlagDefinition } from '../flags/flag.ts'
import type { ApiClient } from './api-client.ts'

/** A flag as the API shows it. */
export interface FlagView extends FlagDefinition {
  readonly key: string
  readonly version: number
  readonly changedAt: string
  readonly changedBy: string
}

export interface FlagVersionView {
  readonly version: number
  readonly changedAt: string
  readonly changedBy: string
  readonly note: string
  readonly revertedTo: number | null
  readonly changes: readonly string[]
  readonly definition: FlagDefinition | null
}

export interface EvaluationView {
  readonly key: string
  readonly value?: unknown
  readonly variant: string | null
  readonly reason: string
  readonly errorCode?: string
  readonly errorMessage?: string
}

/** Where flags are looked at and changed: a server, for those of its tenant, or the database, for those of the installation. */
export interface FlagDesk {
  list(limit: number): Promise<readonly FlagView[]>
  get(key: string): Promise<FlagView>
  create(key: string, input: FlagInput, note?: string): Promise<FlagView>
  /** @param change made up from the flag as it is; refused where somebody else changes it meanwhile. */
  edit(key: string, change: (flag: FlagView) => FlagChange, note?: string): Promise<FlagView>
  remove(key: string, note?: string): Promise<void>
  revert(key: string, version: number, note?: string): Promise<FlagView>
  history(key: string, limit: number): Promise<readonly FlagVersionView[]>
  evaluate(key: string, context: FlagContext, tenant?: string): Promise<EvaluationView>
  /** The id of a tenant that a rule names, and the name of one that a rule has by its id. */
  tenantId(name: string): Promise<string>
  tenantName(id: string): string
}

/** The flags of a tenant, on its server. */
export class RemoteFlagDesk implements FlagDesk {
  readonly #client: ApiClient

  constructor(client: ApiClient) {
    this.#client = client
  }

  list(limit: number): Promise<FlagView[]> {
    return this.#client.list('/v1/flags', {}, limit)
  }

  get(key: string): Promise<FlagView> {
    return this.#client.get(pathOf(key))
  }

  create(key: string, input: FlagInput, note?: string): Promise<FlagView> {
    return this.#client.post('/v1/flags', { key, ...input, note })
  }

  async edit(key: string, change: (flag: FlagView) => FlagChange, note?: string): Promise<FlagView> {
    const flag = await this.get(key)
    return this.#client.request('PATCH', pathOf(key), {
      body: { ...change(flag), note },
      headers: { 'if-match': `"${flag.version}"` },
    })
  }

  remove(key: string, note?: string): Promise<void> {
    return this.#client.request('DELETE', pathOf(key), { query: { note } })
  }

  revert(key: string, version: number, note?: string): Promise<FlagView> {
    return this.#client.post(`${pathOf(key)}/revert`, { version, note })
  }

  history(key: string, limit: number): Promise<FlagVersionView[]> {
    return this.#client.list(`${pathOf(key)}/history`, {}, limit)
  }

  evaluate(key: string, { targetingKey, ...attributes }: FlagContext): Promise<EvaluationView> {
    return this.#client.post(`${pathOf(key)}/evaluate`, { targetingKey, attributes })
  }

  async tenantId(name: string): Promise<string> {
    throw notFound('tenant', name)
  }

  tenantName(id: string): string {
    return id
  }
}

function pathOf(key: string): string {
  return `/v1/flags/${encodeURIComponent(key)}`
}
