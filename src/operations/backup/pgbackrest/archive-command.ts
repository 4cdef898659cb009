import type { PgbackrestRunner } from './run-pgbackrest.ts'

/** What PostgreSQL runs for each piece of log that is finished (manual, 26.3.1). */
export function archiveCommand({
  program,
  configFile,
  stanza,
}: Pick<PgbackrestRunner, 'program' | 'configFile' | 'stanza'>): string {
  const quoted = (text: string): string =>
    /^[\w./-]+$/.test(text) ? text : `"${text.replaceAll(/(["$`\\])/g, '\\$1')}"`
  // A per cent sign is PostgreSQL's own, and written twice.
  return (
    `${quoted(program)} --config=${quoted(configFile)} --stanza=${stanza} archive-push `.replaceAll(
      '%',
      '%%',
    ) + '"%p"'
  )
}
