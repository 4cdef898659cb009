import type { Check } from './checks.ts'

/** What a benchmark is given. */
export interface BenchContext {
  /** Under a minute, without what needs the full size. */
  readonly quick: boolean
  /** Takes half an hour and more, and tens of gigabytes of disk, for what nothing smaller shows. */
  readonly huge: boolean
  /** A PostgreSQL server to measure on, as superuser, instead of the embedded one. Carries a password: never log it. */
  readonly databaseUrl: string | undefined
  /** A folder of this run's own, removed afterwards. */
  readonly directory: string
  /** Aborts when the run is told to stop. */
  readonly signal: AbortSignal
  /** Prints a line for the reader on standard error. */
  log(message: string): void
  /** Shows where a long piece of work stands, on a terminal only. */
  progress(message: string): void
}

export interface BenchResult {
  readonly checks: readonly Check[]
  /** Of PostgreSQL as it answered, and of whatever else was measured against. */
  readonly versions: Readonly<Record<string, string>>
  /** A drawing of the figures, as SVG. */
  readonly plot?: string
}

export interface Benchmark {
  /** What it measures, in a few words. */
  readonly summary: string
  /** Answers `undefined`, having said why, when what it needs is not on this machine. */
  run(context: BenchContext): Promise<BenchResult | undefined>
}
