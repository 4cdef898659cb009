import { quoteSetting, type ServerSetting, settingLines } from '../../database/server-settings.ts'
import { DECIDED_VALUES, type DecidedValue } from './decided-values.ts'
import { isAtValue, type ServerValue } from './server-values.ts'

/** One setting as it should be, beside what was decided once and what the server has. */
export interface TunedSetting {
  readonly name: string
  readonly value: string
  /** Of the architecture decision; `null` where it says nothing about it. */
  readonly decided: string | null
  readonly verdict: DecidedValue['verdict'] | null
  /** Why it was kept, measured instead or refused. */
  readonly verdictWhy: string | null
  /** Of the server, as it shows it; `null` where it was not asked, or does not know it. */
  readonly now: string | null
  /** `null` where the server was not asked. */
  readonly differs: boolean | null
  readonly needsRestart: boolean
  readonly why: string
}

/** What changes only with a restart, where no server can be asked (PostgreSQL manual, chapter 19). */
const NEEDS_RESTART = new Set([
  'huge_pages',
  'max_connections',
  'max_locks_per_transaction',
  'max_replication_slots',
  'max_wal_senders',
  'max_worker_processes',
  'shared_buffers',
  'track_activity_query_size',
  'wal_buffers',
  'wal_level',
  'wal_log_hints',
  'hot_standby',
  'autovacuum_max_workers',
  'autovacuum_worker_slots',
  'io_method',
  'listen_addresses',
  'unix_socket_directories',
  'logging_collector',
  'max_logical_replication_workers',
])

/** Puts settings beside the decision, whose eleven come first, and beside the server's own where it was asked. */
export function explainSettings(
  settings: readonly ServerSetting[],
  server?: ReadonlyMap<string, ServerValue>,
): TunedSetting[] {
  const order = DECIDED_VALUES.map(({ name }) => name)
  const rank = ({ name }: ServerSetting): number =>
    (order.indexOf(name) + order.length + 1) % (order.length + 1)
  return settings
    .toSorted((a, b) => rank(a) - rank(b))
    .map(({ name, value, why }) => {
      const decided = DECIDED_VALUES.find((each) => each.name === name)
      const now = server?.get(name)
      return {
        name,
        value,
        decided: decided?.value ?? null,
        verdict: decided?.verdict ?? null,
        verdictWhy: decided?.why ?? null,
        now: now?.shown ?? null,
        differs: server === undefined ? null : now !== undefined && !isAtValue(now, value),
        needsRestart: now?.needsRestart ?? NEEDS_RESTART.has(name),
        why,
      }
    })
}

/** The settings as a piece of postgresql.conf. */
export function toConfigurationFile(settings: readonly ServerSetting[], heading: readonly string[]): string {
  return [...heading.map((line) => `# ${line}`), ...settingLines(settings)].join('\n')
}

/** The settings as statements for a superuser; `alter system` writes them to postgresql.auto.conf, which wins over the file. */
export function toStatements(settings: readonly ServerSetting[], heading: readonly string[]): string {
  return [
    ...heading.map((line) => `-- ${line}`),
    ...settings.map(({ name, value }) => `alter system set ${name} = ${quoteLiteral(value)};`),
    'select pg_reload_conf();',
  ].join('\n')
}

function quoteLiteral(value: string): string {
  return /^-?\d+(?:\.\d+)?$|^[a-z_]+$/.test(value) ? quoteSetting(value) : `'${value.replaceAll("'", "''")}'`
}
