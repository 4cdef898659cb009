import { mkdir, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { writePrivateFile } from '../../database/data-folder.ts'
import { POINTS_PER_WRITE } from './drill-writes.ts'
import { timeToNextWriteMs } from './drill-outcome.ts'
import type { DrillReport } from './run-drill.ts'
import { KIND_WORDS } from './strike.ts'

const FOLDER = 'drills'

/** Where the two files of a kept report are. */
export interface KeptReport {
  readonly json: string
  readonly markdown: string
}

/** Keeps a report in the data folder, as JSON for programs and as Markdown for people. */
export async function keepReport(dataDirectory: string, report: DrillReport): Promise<KeptReport> {
  const folder = join(dataDirectory, FOLDER)
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const name = join(folder, `failover-${report.startedAt.replaceAll(/[:.]/g, '-')}-${report.plan.kind}`)
  const kept = { json: `${name}.json`, markdown: `${name}.md` }
  await writePrivateFile(kept.json, `${JSON.stringify(report, undefined, 2)}\n`)
  await writePrivateFile(kept.markdown, toMarkdown(report))
  return kept
}

/** Reports that were kept, newest first; files that cannot be read are left out. */
export async function listReports(dataDirectory: string): Promise<DrillReport[]> {
  const folder = join(dataDirectory, FOLDER)
  const names = (await readdir(folder).catch(() => [])).filter((name) => name.endsWith('.json'))
  const reports: DrillReport[] = []
  for (const name of names.toSorted().toReversed()) {
    try {
      reports.push(JSON.parse(await readFile(join(folder, name), 'utf8')) as DrillReport)
    } catch {
      continue
    }
  }
  return reports
}

/** A report for people. */
export function toMarkdown({ run, struckAt, plan, outcome, verdict }: DrillReport): string {
  const next = timeToNextWriteMs(outcome)
  const { counters, points, straight, reads, findings } = outcome
  const row = (
    what: string,
    { acknowledged, missing, storedUnacknowledged, doubled, torn }: typeof counters,
  ): string => `| ${what} | ${acknowledged} | ${missing} | ${storedUnacknowledged} | ${doubled} | ${torn} |`
  return [
    `# Failover drill: ${verdict.passed ? 'passed' : 'failed'}`,
    '',
    `${KIND_WORDS[plan.kind]}: ${outcome.leaderBefore}, at ${struckAt}. The cluster is set up to ${plan.preset.replace('-', ' ')}. ` +
      (outcome.isReplicationCut
        ? 'Replication from it had been cut a moment before.'
        : 'Replication from it had not been cut before.'),
    '',
    `- Time to the next write: ${next === undefined ? 'none came' : `${Math.round(next)} ms`}`,
    `- Leader afterwards: ${outcome.leaderAfter ?? 'none'}`,
    `- Whole again after: ${outcome.wholeAfterMs === undefined ? 'not in time' : `${Math.round(outcome.wholeAfterMs)} ms`}`,
    `- Might be lost, as said before the blow: ${outcome.lossBoundBytes} bytes of the log; lost: ${outcome.lostBytes ?? 'unknown'}`,
    '',
    '| | |',
    '| --- | --- |',
    ...verdict.checks.map(
      ({ name, passed, detail }) => `| ${passed ? '✓' : '✗'} ${name} | ${detail.replaceAll('|', '\\|')} |`,
    ),
    '',
    '| writes | acknowledged | missing | stored, not acknowledged | doubled | in part |',
    '| --- | --- | --- | --- | --- | --- |',
    row('counters', counters),
    row(`points, ${POINTS_PER_WRITE} in each`, points),
    row('straight to the former leader', straight),
    '',
    `Reads of one's own writes: ${reads.answered} answered, ${reads.refused} refused, ${reads.stale} stale. ` +
      `Findings: ${findings.expected} expected, ${findings.missed} missed, ${findings.doubled} doubled, ${findings.unfounded} without their points.`,
    '',
    `Run ${run}; the log grew by ${Math.round(outcome.walBytesPerSecond)} bytes a second before the blow.`,
    '',
  ].join('\n')
}
