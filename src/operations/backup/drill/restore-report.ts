import { mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { writePrivateFile } from '../../../database/data-folder.ts'
import type { RestoreTarget } from '../backup-engine.ts'
import type { Remembered } from './proof-check.ts'
import type { RestoreDrillReport } from './run-restore-drill.ts'

const FOLDER = 'restore-drills'
/** More are removed, oldest first. */
const KEPT = 200
/** What is compared with: the newest, and older ones for older backups. */
const REMEMBERED = 30

/** Keeps a report in the data folder, as JSON for programs and as Markdown for people; answers their paths. */
export async function keepRestoreReport(
  dataDirectory: string,
  report: RestoreDrillReport,
): Promise<{ readonly json: string; readonly markdown: string }> {
  const folder = join(dataDirectory, FOLDER)
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const name = join(folder, `restore-${report.startedAt.replaceAll(/[:.]/g, '-')}`)
  const kept = { json: `${name}.json`, markdown: `${name}.md` }
  await writePrivateFile(kept.json, `${JSON.stringify(report, undefined, 2)}\n`)
  await writePrivateFile(kept.markdown, toMarkdown(report))
  for (const old of (await reportFiles(folder)).slice(KEPT))
    for (const path of [old, old.replace(/\.json$/, '.md')]) await rm(join(folder, path), { force: true })
  return kept
}

/** Reports that were kept, newest first; files that cannot be read are left out. */
export async function listRestoreReports(dataDirectory: string, limit = KEPT): Promise<RestoreDrillReport[]> {
  const folder = join(dataDirectory, FOLDER)
  const reports: RestoreDrillReport[] = []
  for (const name of (await reportFiles(folder)).slice(0, limit)) {
    try {
      reports.push(JSON.parse(await readFile(join(folder, name), 'utf8')) as RestoreDrillReport)
    } catch {
      continue
    }
  }
  return reports
}

/** What drills that did not fail have noted for those that follow, newest first. */
export async function readRemembered(dataDirectory: string): Promise<Remembered[]> {
  const reports = await listRestoreReports(dataDirectory)
  return reports
    .filter(({ verdict, remember }) => verdict !== 'failed' && remember.rows !== undefined)
    .flatMap(({ remember }) => (remember.auditLog === undefined ? [] : [remember as Remembered]))
    .slice(0, REMEMBERED)
}

async function reportFiles(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => [])
  return names
    .filter((name) => name.startsWith('restore-') && name.endsWith('.json'))
    .toSorted()
    .toReversed()
}

const MARKS = { ok: '✓', warn: '!', fail: '✗' } as const

/** A report for people. */
export function toMarkdown(report: RestoreDrillReport): string {
  const { failure, checks, backups, limits } = report
  return [
    `# Restore drill: ${report.verdict}`,
    '',
    `Begun ${report.startedAt}, over ${report.finishedAt}. Restored from ${report.place} to ${sayTarget(report.target)}.`,
    '',
    ...backups.map(
      ({ database, id, endedAt, bytes }) =>
        `- Backup of the ${database}: ${id}, of ${endedAt}${bytes === undefined ? '' : `, ${saySize(bytes)}`}`,
    ),
    `- Recovered to: ${report.recoveredTo ?? 'nothing'}`,
    `- Time until the restored databases answered (RTO): ${saySeconds(report.rtoSeconds)}`,
    `- Would have been lost as the drill began (RPO): ${saySeconds(report.rpoSeconds)}`,
    '',
    ...(failure === undefined
      ? []
      : [
          `**It came no further:** ${failure.message}`,
          '',
          ...(failure.hint === undefined ? [] : [failure.hint, '']),
          ...(failure.said === undefined ? [] : ['```', failure.said.trim(), '```', '']),
        ]),
    ...(checks.length === 0
      ? []
      : [
          '| | What was checked | What was found | s |',
          '| --- | --- | --- | --- |',
          ...checks.map(
            ({ verdict, check, shows, says, seconds }) =>
              `| ${MARKS[verdict]} | **${check}**: ${cell(shows)} | ${cell(says)} | ${seconds.toFixed(1)} |`,
          ),
          '',
        ]),
    ...checks.flatMap(({ check, details }) =>
      details.length === 0 ? [] : [`## ${check}`, '', ...details.map((detail) => `- ${detail}`), ''],
    ),
    ...limits.flatMap((limit) => [limit, '']),
  ].join('\n')
}

function sayTarget(target: RestoreTarget): string {
  switch (target.kind) {
    case 'latest':
      return 'everything that is stored'
    case 'immediate':
      return 'the moment of the backup itself'
    case 'time':
      return new Date(target.ms).toISOString()
    case 'lsn':
      return `position ${target.lsn}`
    case 'name':
      return target.name.startsWith('nomaly-drill-')
        ? 'the moment at which the drill began'
        : `the point ${target.name}`
  }
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ')
}

function saySeconds(seconds: number | undefined): string {
  if (seconds === undefined) return 'not known'
  return seconds < 120 ? `${seconds.toFixed(1)} s` : `${(seconds / 60).toFixed(1)} min`
}

function saySize(bytes: number): string {
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(2)} GB`
}
