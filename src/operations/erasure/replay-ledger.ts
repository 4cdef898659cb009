import type { Config } from '../../config/profiles.ts'
import { LedgerFile } from './ledger-file.ts'
import { openErasureSite } from './open-eraser.ts'
import { type ReplayReport, replayErasures } from './replay-erasures.ts'

/**
 * Looks, before an installation is opened, whether its databases were restored from before an erasure that a copy of the ledger knows of, and does
 * that again. Costs nothing where there is no ledger.
 */
export async function replayLedger(
  config: Config,
  { coreUrl, metricsUrl }: { readonly coreUrl: string; readonly metricsUrl: string | undefined },
  { log, signal }: { readonly log: (message: string) => void; readonly signal: AbortSignal | undefined },
): Promise<ReplayReport> {
  const ledger = (await (await LedgerFile.of(config))?.read()) ?? []
  if (ledger.length === 0) return { replayed: [], left: [] }
  await using site = await openErasureSite(config, coreUrl, metricsUrl, log)
  const work = { signal: signal ?? new AbortController().signal, now: () => new Date() }
  const report = await replayErasures(ledger, site, work, () =>
    log('Another process erases something at this moment; waiting for it.'),
  )
  if (report.replayed.length > 0)
    log(
      `${report.replayed.length} erasures were done again: the database is from before they were asked for, or before they were finished.`,
    )
  for (const sentence of report.left) log(sentence)
  return report
}
