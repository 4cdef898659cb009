import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { writePrivateFile } from '../../database/data-folder.ts'
import type { QuarantinedRow, Tally } from './import-ledger.ts'
import type { Family, Noun, UnusedTable } from './source.ts'
import { type Comparison, isSame } from './verify-table.ts'

/** What became of one table of a source. */
export interface TableReport extends Tally {
  readonly table: string
  readonly noun: Noun
  /** Rows in the source. */
  readonly rows: number
  /** Of metrics: series that the points are in, and rows that repeat another one. */
  readonly series?: number
  readonly duplicates?: number
  /** Of metrics: what names no series, because it changes from row to row. */
  readonly leftOut?: readonly string[]
}

/** What became of one source. */
export interface StoreReport {
  readonly name: string
  readonly family: Family
  readonly bytes: number
  /** SHA-256 of what was read. */
  readonly fingerprint: string
  /** Whether it had been imported before: nothing was done then, and this is what was reported at that time. */
  readonly isRepeated: boolean
  readonly tables: readonly TableReport[]
  readonly unused: readonly UnusedTable[]
  /** Source against target; empty in a plan. */
  readonly comparisons: readonly Comparison[]
  /** The first {@link LISTED} rows that were set aside. */
  readonly quarantine: readonly QuarantinedRow[]
}

/** How many rows that were set aside are listed; the rest is in the database. */
export const LISTED = 1_000

/** What an import came to, or would come to. */
export interface ImportReport {
  readonly path: string
  readonly startedAt: string
  readonly finishedAt: string
  /** Where rows of no tenant went, or all of them. */
  readonly tenant: string
  readonly isOneTenant: boolean
  readonly zone: string
  readonly jobsZone: string
  /** Whether it is a plan, and nothing was changed. */
  readonly isPlan: boolean
  readonly stores: readonly StoreReport[]
  readonly passedOver: readonly { readonly file: string; readonly reason: string }[]
  /** Whether the target holds exactly what the source has, rows that were set aside left out. */
  readonly isRight: boolean
}

/** Where the two files of a kept report are. */
export interface KeptImportReport {
  readonly json: string
  readonly markdown: string
}

/** Keeps a report in the data folder, as JSON for programs and as Markdown for people. */
export async function keepImportReport(
  dataDirectory: string,
  report: ImportReport,
): Promise<KeptImportReport> {
  const folder = join(dataDirectory, 'imports')
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const name = join(
    folder,
    `${report.isPlan ? 'plan' : 'import'}-${report.startedAt.replaceAll(/[:.]/g, '-')}`,
  )
  const kept = { json: `${name}.json`, markdown: `${name}.md` }
  await writePrivateFile(kept.json, `${JSON.stringify(report, undefined, 2)}\n`)
  await writePrivateFile(kept.markdown, toMarkdown(report))
  return kept
}

/** A report for people. */
export function toMarkdown(report: ImportReport): string {
  const { path, isPlan, stores, passedOver, isOneTenant, tenant, zone, jobsZone } = report
  return [
    `# ${isPlan ? 'Plan of an import' : 'Import'} from Pynomaly`,
    '',
    `${path}, ${report.startedAt} to ${report.finishedAt}. ` +
      (isOneTenant
        ? `Everything goes into the tenant ${tenant}.`
        : `Rows of no tenant go into ${tenant}; tenants of the source are tenants here.`) +
      ` Times that say no zone are ${zone}, those of training jobs ${jobsZone}.`,
    '',
    verdict(report),
    '',
    ...stores.flatMap(storeLines),
    ...(passedOver.length === 0
      ? []
      : [
          '## Passed over',
          '',
          ...passedOver.map(({ file, reason }) => `- ${escaped(file)}: ${escaped(reason)}`),
          '',
        ]),
  ].join('\n')
}

/** The outcome in a sentence. */
export function verdict({ isPlan, isRight, stores }: ImportReport): string {
  const aside = stores.flatMap(({ tables }) => tables).reduce((sum, { quarantined }) => sum + quarantined, 0)
  const rows =
    aside === 0
      ? 'No row was set aside.'
      : `${aside} ${aside === 1 ? 'row was' : 'rows were'} set aside, each with a reason.`
  if (isPlan) return `Nothing was changed. ${rows.replaceAll(/was|were/g, 'would be')}`
  return isRight
    ? `The database holds exactly what the source has. ${rows}`
    : `The database does not hold what the source has: see below. ${rows}`
}

function storeLines({
  name,
  family,
  fingerprint,
  isRepeated,
  tables,
  unused,
  comparisons,
  quarantine,
}: StoreReport): string[] {
  const fills = tables.flatMap(({ table, fills: byWhat }) =>
    Object.entries(byWhat).map(([what, rows]) => `- ${escaped(table)}: ${escaped(what)} (${rows})`),
  )
  const series = tables.flatMap(({ table, series: number, duplicates, leftOut }) =>
    number === undefined
      ? []
      : [
          `- ${escaped(table)}: ${number} series; ${duplicates ?? 0} rows repeat another one` +
            (leftOut === undefined || leftOut.length === 0
              ? ''
              : `; not in the names of series: ${escaped(leftOut.join(', '))}`),
        ],
  )
  const section = (title: string, lines: readonly string[]): string[] =>
    lines.length === 0 ? [] : [`### ${title}`, '', ...lines, '']
  return [
    `## ${escaped(name)}`,
    '',
    `Family ${family}, SHA-256 ${fingerprint}.${isRepeated ? ' It was imported before; nothing was done again.' : ''}`,
    '',
    '| table | rows | stored | there already | set aside | findings |',
    '| --- | --- | --- | --- | --- | --- |',
    ...tables.map(
      (t) =>
        `| ${escaped(t.table)} | ${t.rows} | ${t.stored} | ${t.present} | ${t.quarantined} | ${t.findings} |`,
    ),
    '',
    ...section('Filled in', fills),
    ...section('Metrics', series),
    ...section(
      'Left out',
      unused.map(({ table, rows, reason }) => `- ${escaped(table)} (${rows} rows): ${escaped(reason)}`),
    ),
    ...section('Set aside', quarantineLines(quarantine)),
    ...section('Source against target', comparisonLines(comparisons)),
  ]
}

function quarantineLines(rows: readonly QuarantinedRow[]): string[] {
  if (rows.length === 0) return []
  return [
    '| table | row | id | reason | |',
    '| --- | --- | --- | --- | --- |',
    ...rows.map(
      (row) =>
        `| ${escaped(row.table)} | ${row.place} | ${escaped(row.sourceId ?? '–')} | ${row.reason} | ${escaped(row.detail)} |`,
    ),
  ]
}

function comparisonLines(comparisons: readonly Comparison[]): string[] {
  if (comparisons.length === 0) return []
  return [
    '| | source | target | checksum of the source | of the target |',
    '| --- | --- | --- | --- | --- |',
    ...comparisons.map(
      (c) =>
        `| ${isSame(c) ? '✓' : '✗'} ${escaped(c.what)} | ${c.source} | ${c.target} | ${c.sourceChecksum} | ${c.targetChecksum} |`,
    ),
    ...comparisons
      .filter(({ wrong }) => wrong.length > 0)
      .map(({ what, wrong }) => `\nWrong in ${escaped(what)}: ${escaped(wrong.join(', '))}`),
  ]
}

function escaped(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ').replaceAll('<', '&lt;')
}
