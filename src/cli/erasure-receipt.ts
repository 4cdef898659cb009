import type { Receipt } from '../operations/erasure/receipt.ts'
import { count } from './format-cells.ts'
import { paint, print, tableLines } from './output.ts'

/** Prints what an erasure has done, and what is left of it. */
export function printReceipt(receipt: Receipt): void {
  const { id, kind, finishedAt, removed, rewritten, writeAheadLogs, redisKeys, backups, left } = receipt
  print(
    `${paint('bold', `Receipt ${id}`)}: ${kind === 'user' ? 'a person' : kind === 'tenant' ? 'a tenant' : 'series'}, ${finishedAt}`,
  )
  const rows = Object.entries(removed).filter(([, number]) => number > 0)
  if (rows.length > 0)
    print(
      tableLines(rows, [
        ['Removed or changed', ([name]) => name],
        ['Count', ([, number]) => number.toLocaleString('en-US')],
      ]),
    )
  print(`${count(rewritten.length, 'table')} written anew.`)
  for (const { database, segments, isClean } of writeAheadLogs)
    if (isClean) print(`The write-ahead log of ${database} is emptied: ${count(segments, 'segment')}.`)
  if (redisKeys !== null) print(`${count(redisKeys, 'key')} of Redis removed.`)
  if (backups.fresh !== null) print(`Backup ${backups.fresh} was taken afterwards.`)
  print(
    backups.olderExpireAt === null
      ? 'Of backups that are older than this nothing is known here: those that you keep elsewhere hold it until you remove them.'
      : `The last backup that is older expires on ${backups.olderExpireAt.slice(0, 10)}.`,
  )
  for (const sentence of left) print(paint('yellow', sentence))
}
