/** What a process with subscribers is started with, as JSON in its first argument. */
export interface SubscribersOptions {
  readonly databaseUrl: string
  readonly tenantId: string
  readonly flag: string
  readonly subscribers: number
}

/** What it says: that it listens, or when each of its subscribers first saw each value (or a later one), by the clock of the machine. */
export type SubscribersMessage =
  | { readonly kind: 'ready' }
  | { readonly kind: 'seen'; readonly atMs: readonly (readonly number[])[] }

/** A clock that all processes of a machine share, in ms (CLOCK_MONOTONIC). */
export function machineMs(): number {
  return Number(process.hrtime.bigint() / 1_000n) / 1_000
}
