import type { CONFIG_OPTIONS } from './schema.ts'

/** Settings that operators may change while processes run; the environment gives their defaults. */
export const LIVE_OPTIONS = [
  'logLevel',
  'slowStatementMs',
  'statementTimeoutMs',
  'commitTimeoutMs',
  'eventRetentionHours',
  'findingRetention',
  'cacheTtlSeconds',
  'maxBodyBytes',
  'maxSeriesPerRequest',
  'maxIngestBytes',
  'rateReadsPerMinute',
  'rateWritesPerMinute',
  'ratePointsPerMinute',
  'rateExpensivePerMinute',
  'rateTenantKeys',
  'rateFailuresPerMinute',
  'idempotencyHours',
] as const satisfies readonly (keyof typeof CONFIG_OPTIONS)[]

export type LiveOption = (typeof LIVE_OPTIONS)[number]

/** The name of a live setting on the command line and in the API: `slow-statement-ms` for `slowStatementMs`. */
export function liveName(option: LiveOption): string {
  return option.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}
