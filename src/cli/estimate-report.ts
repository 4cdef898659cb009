import type { DiskEstimate } from '../metrics/estimate.ts'
import { COMPRESSION_FACTOR, ESTIMATE_FACTOR } from '../metrics/storage-costs.ts'
import type { DatasetEstimate } from '../workflows/estimate-dataset.ts'
import { count, formatNumber } from './format-cells.ts'
import { paint, print, tableLines } from './output.ts'

/** Prints what a dataset will take, for people. */
export function printEstimate(estimate: DatasetEstimate): void {
  const { disk, memory, series, everySeconds, pointsPerDay, engine, retention, sample } = estimate
  if (sample !== undefined)
    print(
      `Counted ${count(sample.points, 'point')} in ${count(sample.series, 'series', 'series')}` +
        `${sample.rejectedTotal > 0 ? `, and ${count(sample.rejectedTotal, 'line')} that cannot be read` : ''}.`,
    )
  print(
    `${count(series, 'series', 'series')}, a point every ${formatNumber(everySeconds)} s: ` +
      `${count(pointsPerDay, 'point')} a day, ${count(estimate.rollUpRowsPerDay, 'row')} of roll-ups. Kept in ${engine}, ${retentionWords(retention)}.`,
  )
  print()
  const last = disk.grows
    ? `after ${disk.fullAfterDays} days, and growing`
    : `from ${disk.fullAfterDays} days on`
  const rows: (readonly [string, DiskEstimate])[] = [
    ['after a day', disk.day],
    ['after a month', disk.month],
    [last, disk.full],
  ]
  print(
    tableLines(rows, [
      ['Disk', ([when]) => when],
      ['Total', ([, of]) => bytes(of.total)],
      ['Points', ([, of]) => bytes(of.points)],
      ['Roll-ups', ([, of]) => bytes(of.rollUps)],
      ['Names', ([, of]) => bytes(of.names)],
      ['Without compression', ([, of]) => bytes(of.uncompressed)],
    ]),
  )
  print()
  const needs: (readonly [string, number])[] = [
    ['names of series', memory.catalogue],
    ['newest points', memory.newestPoints],
    ['pages being written', memory.hotPages],
    ['so shared_buffers should be', memory.sharedBuffers],
    ['and the server of the product remembers', memory.rememberedSeries],
  ]
  print(
    tableLines(needs, [
      ['Memory', ([what]) => what],
      ['', ([, of]) => bytes(of)],
    ]),
  )
  print()
  for (const warning of estimate.warnings) print(`${paint('yellow', 'Warning:')} ${warning}`)
  const compressed =
    engine === 'timescale' ? `; compressed points within ${COMPRESSION_FACTOR}, by what the values are` : ''
  print(
    paint(
      'dim',
      `Meant to be within a factor of ${ESTIMATE_FACTOR}${compressed}. --output json has the figures behind it.`,
    ),
  )
}

function retentionWords(retention: DatasetEstimate['retention']): string {
  return retention === 'forever' ? 'forever' : `for a ${retention}`
}

function bytes(amount: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB']
  const power = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(1, amount)) / 3)))
  const value = (amount / 1000 ** power).toLocaleString('en-US', { maximumSignificantDigits: 3 })
  return `${value} ${units[power]}`
}
