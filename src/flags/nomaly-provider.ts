import {
  ErrorCode,
  type EvaluationContext,
  type JsonValue,
  OpenFeatureEventEmitter,
  type Provider,
  ProviderEvents,
  ProviderFatalError,
  type ResolutionDetails,
} from '@openfeature/server-sdk'
import { NomalyError } from '../errors.ts'
import { type FlagSource, StoreFlagSource } from './flag-source.ts'
import type { Flags } from './flags.ts'
import { HttpFlagSource, type HttpFlagSourceOptions } from './http-flag-source.ts'

/**
 * Lets programs ask for flags with the standard SDK (OpenFeature 0.8, server side). Flags are evaluated in memory, wherever they come from, and
 * go on to be while that is out of reach.
 */
export class NomalyProvider implements Provider {
  readonly metadata = { name: 'nomaly' } as const
  readonly runsOn = 'server'
  readonly events = new OpenFeatureEventEmitter()
  readonly #source: FlagSource

  private constructor(source: FlagSource) {
    this.#source = source
  }

  /** On a store in this process. @param tenantId whose flags; left out, those of the installation alone. */
  static onStore(store: { readonly flags: Flags }, tenantId?: string): NomalyProvider {
    return new NomalyProvider(new StoreFlagSource(store, tenantId))
  }

  /** For programs elsewhere: fetches the flags of the key's tenant from a server, and follows their changes. */
  static overHttp(options: HttpFlagSourceOptions): NomalyProvider {
    return new NomalyProvider(new HttpFlagSource(options))
  }

  /** The SDK calls it, and says afterwards that the provider is ready. */
  async initialize(): Promise<void> {
    try {
      await this.#source.start({
        changed: (keys) => this.events.emit(ProviderEvents.ConfigurationChanged, { flagsChanged: [...keys] }),
        stale: (isStale, message) =>
          isStale
            ? this.events.emit(ProviderEvents.Stale, { message })
            : this.events.emit(ProviderEvents.Ready, { message: 'Flags are up to date again.' }),
        recovered: () => this.events.emit(ProviderEvents.Ready, { message: 'The flags were fetched.' }),
      })
    } catch (error) {
      if (error instanceof NomalyError && ['unauthenticated', 'forbidden'].includes(error.code))
        throw new ProviderFatalError(error.message)
      throw error
    }
  }

  async onClose(): Promise<void> {
    await this.#source.stop()
  }

  async resolveBooleanEvaluation(
    flagKey: string,
    defaultValue: boolean,
    context: EvaluationContext,
  ): Promise<ResolutionDetails<boolean>> {
    return this.#resolve(flagKey, defaultValue, context, 'a boolean', (value) => typeof value === 'boolean')
  }

  async resolveStringEvaluation(
    flagKey: string,
    defaultValue: string,
    context: EvaluationContext,
  ): Promise<ResolutionDetails<string>> {
    return this.#resolve(flagKey, defaultValue, context, 'a text', (value) => typeof value === 'string')
  }

  async resolveNumberEvaluation(
    flagKey: string,
    defaultValue: number,
    context: EvaluationContext,
  ): Promise<ResolutionDetails<number>> {
    return this.#resolve(flagKey, defaultValue, context, 'a number', (value) => typeof value === 'number')
  }

  async resolveObjectEvaluation<T extends JsonValue>(
    flagKey: string,
    defaultValue: T,
    context: EvaluationContext,
  ): Promise<ResolutionDetails<T>> {
    return this.#resolve(flagKey, defaultValue, context, 'an object', (value) => typeof value === 'object')
  }

  #resolve<T>(
    key: string,
    defaultValue: T,
    context: EvaluationContext,
    wanted: string,
    isWanted: (value: unknown) => boolean,
  ): ResolutionDetails<T> {
    const { value, variant, reason, errorCode, errorMessage } = this.#source.evaluate(key, context)
    if (errorCode !== undefined)
      return {
        value: defaultValue,
        reason,
        errorCode: ErrorCode[errorCode],
        ...(errorMessage === undefined ? {} : { errorMessage }),
      }
    // Off, and it is left to the program what that means.
    if (value === undefined) return { value: defaultValue, reason }
    if (!isWanted(value))
      return {
        value: defaultValue,
        reason: 'ERROR',
        errorCode: ErrorCode.TYPE_MISMATCH,
        errorMessage: `The flag "${key}" does not come out as ${wanted}.`,
      }
    return { value: value as T, reason, ...(variant === undefined ? {} : { variant }) }
  }
}
