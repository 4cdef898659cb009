import type { Evaluation, FlagContext } from './evaluation.ts'
import type { Flags } from './flags.ts'

/** Where a provider has its flags from. */
export interface FlagSource {
  /** Comes back once flags can be evaluated. */
  start(listener: FlagSourceListener): Promise<void>
  stop(): Promise<void>
  evaluate(key: string, context: FlagContext): Evaluation
}

/** What a source tells of itself. */
export interface FlagSourceListener {
  changed(keys: readonly string[]): void
  /** Flags may be older than they should be, and are evaluated all the same; or that is over. */
  stale(isStale: boolean, why: string): void
  /** The source works, which it did not when it was started. */
  recovered(): void
}

/** The flags of a store in this process. */
export class StoreFlagSource implements FlagSource {
  readonly #flags: Flags
  readonly #tenantId: string | undefined
  #stop: (() => void)[] = []

  /** @param tenantId whose flags; `undefined` for those of the installation alone. */
  constructor({ flags }: { readonly flags: Flags }, tenantId: string | undefined) {
    this.#flags = flags
    this.#tenantId = tenantId
  }

  async start(listener: FlagSourceListener): Promise<void> {
    this.#stop = [
      this.#flags.onChange(({ tenantId, keys }) => {
        if (tenantId === undefined || tenantId === this.#tenantId) listener.changed(keys)
      }),
      this.#flags.onStale((isStale) => listener.stale(isStale, 'The database cannot be asked.')),
    ]
  }

  async stop(): Promise<void> {
    for (const stop of this.#stop) stop()
  }

  evaluate(key: string, context: FlagContext): Evaluation {
    return this.#flags.evaluate(this.#tenantId, key, context)
  }
}
