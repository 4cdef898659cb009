import type { ErasureSite, ErasureWork } from './erasure-site.ts'
import { sessionsOf } from './erasure-site.ts'
import type { LogRecycling, RewrittenTable } from './receipt.ts'
import { recycleLog } from './recycle-log.ts'
import { rewriteTables } from './rewrite-tables.ts'

/** What became of the files of the databases. */
export interface ForgottenTraces {
  readonly rewritten: readonly RewrittenTable[]
  readonly writeAheadLogs: readonly LogRecycling[]
  /** Sentences on what is left. */
  readonly left: readonly string[]
}

/** Removes what is left of erased rows in the files of their tables, and in the log. @param tables by database. */
export async function forgetTraces(
  site: ErasureSite,
  tables: Readonly<Record<string, readonly string[]>>,
  work: ErasureWork,
): Promise<ForgottenTraces> {
  const rewritten: RewrittenTable[] = []
  const writeAheadLogs: LogRecycling[] = []
  const left: string[] = []
  for (const [label, session] of sessionsOf(site)) {
    const names = tables[label] ?? []
    const report = await rewriteTables(session, label, names, work.signal, (done, total) =>
      work.progress?.({ step: 'rewriting tables', done, total }),
    )
    rewritten.push(...report.rewritten)
    left.push(...report.left)
  }
  for (const [label, session] of sessionsOf(site)) {
    const report = await recycleLog(session, label, work.signal, (done, total) =>
      work.progress?.({ step: 'emptying the log', done, total }),
    )
    writeAheadLogs.push(report.log)
    left.push(...report.left)
  }
  return { rewritten, writeAheadLogs, left }
}
