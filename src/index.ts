export { NomalyError, type ErrorCode, type FieldProblem } from './errors.ts'
export { loadConfig } from './config/load.ts'
export type { Config } from './config/profiles.ts'

// Detection, without any database.
export { ALGORITHMS, validateDetectorSettings } from './detection/algorithms.ts'
export {
  type BandColumns,
  type DetectorSettings,
  detectSeries,
  type FalseAlarmBudget,
  type Finding,
  type MonitorSnapshot,
  SeriesMonitor,
  type Severity,
} from './detection/series-monitor.ts'

// Points in.
export { parsePoints } from './ingestion/parse-points.ts'
export type { ParsedChunk, ParsedPoints, PointFormat } from './ingestion/parsed-points.ts'

// The database tier.
export type { TenantScope } from './access/tenant-scope.ts'
export { migrate, type MigrationReport, type MigrationSet } from './database/migrator.ts'
export {
  type Committed,
  formatPosition,
  type Freshness,
  parsePosition,
  type Position,
} from './database/position.ts'
// Feature flags, in this process and over HTTP, for the standard SDK.
export type { Evaluation, EvaluationReason, FlagContext } from './flags/evaluation.ts'
export type { FlagDefinition, FlagRule, FlagType, SplitShare } from './flags/flag.ts'
export type { Flags, FlagsChange } from './flags/flags.ts'
export type { HttpFlagSourceOptions } from './flags/http-flag-source.ts'
export { NomalyProvider } from './flags/nomaly-provider.ts'
export type { MetricsEngine, PointBatch, Series, SeriesKey } from './metrics/metrics-engine.ts'
export { type Instance, MIGRATION_SETS, openInstance } from './operations/open-instance.ts'
export { openStore } from './store/open-store.ts'
export type { HealthReport, Store } from './store/store.ts'
export type { Repositories, UnitOfWork } from './store/unit-of-work.ts'
