import { loadConfig, type Environment } from '../../src/config/load.ts'
import { type CheckReport, examine, type ExamineOptions } from '../../src/operations/doctor/examine.ts'

/** Makes some checks, or all, as `nomaly doctor` does in this environment. */
export async function look(
  only: readonly string[],
  environment: Environment,
  changes: Partial<ExamineOptions> = {},
): Promise<readonly CheckReport[]> {
  const { checks } = await examine({
    config: loadConfig({ NOMALY_DATA_DIR: '/nonexistent/nomaly', ...environment }),
    clock: Date.now,
    processes: undefined,
    secretFiles: [],
    only,
    signal: new AbortController().signal,
    ...changes,
  })
  return checks
}

/** What the reports say and how bad it is, in short. */
export function verdicts(reports: readonly CheckReport[]): string[] {
  return reports.map(({ check, verdict, says }) => `${check} ${verdict}: ${says}`)
}
