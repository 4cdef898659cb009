import { countText } from '../amounts.ts'
import { type Check, fail, type Finding, ok, warn } from '../check.ts'

/** A table with fewer dead rows is not worth a word. */
const FEW_ROWS = 50_000
const MUCH = 0.3

interface Table {
  readonly name: string
  readonly live: number
  readonly dead: number
}

interface Settings {
  readonly autovacuum: string
  readonly counts: string
}

export const VACUUM: Check = {
  name: 'vacuum',
  on: 'database',
  looksAt:
    'Whether autovacuum is on, tables of which a third and more are rows that were deleted, and large ones that were never analysed.',
  why: 'What is not cleaned up makes every read slower, and plans without statistics are guesses.',
  async examine({ ask }) {
    const [row] = await ask<Settings>(
      `select current_setting('autovacuum') as autovacuum, current_setting('track_counts') as counts`,
    )
    if (row!.autovacuum !== 'on' || row!.counts !== 'on')
      return [
        fail(
          'Autovacuum is off.',
          'Deleted rows stay for ever, plans grow old, and at last the server stops taking writes.',
          'Set autovacuum = on and track_counts = on, and reload.',
        ),
      ]
    const found = [...(await findBloated(ask)), ...(await findUnknown(ask))]
    return found.length > 0 ? found : [ok('Autovacuum keeps up.')]
  },
}

type Ask = Parameters<Extract<Check, { on: 'database' }>['examine']>[0]['ask']

async function findBloated(ask: Ask): Promise<Finding[]> {
  const tables = await ask<Table>(
    `select schemaname || '.' || relname as name, n_live_tup::float8 as live, n_dead_tup::float8 as dead
     from pg_stat_user_tables where n_dead_tup > $1 and n_dead_tup > $2::float8 * (n_live_tup + n_dead_tup) order by n_dead_tup desc limit 10`,
    [FEW_ROWS, MUCH],
  )
  const [worst] = tables
  if (worst === undefined) return []
  const part = Math.round((worst.dead / (worst.dead + worst.live)) * 100)
  return [
    warn(
      `${part} % of ${worst.name} are deleted rows (${worst.dead.toLocaleString('en-US')})${tables.length === 1 ? '' : `, and ${countText(tables.length - 1, 'other table')} too`}.`,
      'Autovacuum does not keep up; reads go over them.',
      `Run \`vacuum ${worst.name}\`; see that no long transaction holds it back, and give autovacuum more workers or a higher autovacuum_vacuum_cost_limit.`,
      { tables },
    ),
  ]
}

async function findUnknown(ask: Ask): Promise<Finding[]> {
  const tables = await ask<Table>(
    `select schemaname || '.' || relname as name, n_live_tup::float8 as live, n_dead_tup::float8 as dead
     from pg_stat_user_tables
     where n_live_tup > $1 and last_analyze is null and last_autoanalyze is null order by n_live_tup desc limit 10`,
    [FEW_ROWS],
  )
  const [largest] = tables
  if (largest === undefined) return []
  return [
    warn(
      `${largest.name} has never been analysed${tables.length === 1 ? '' : `, nor ${countText(tables.length - 1, 'other large table')}`}.`,
      'Plans for it are guesses.',
      'Run `analyze`. After a restore or an upgrade that is always needed.',
      { tables },
    ),
  ]
}
