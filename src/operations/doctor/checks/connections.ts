import { connectionsOf, poolSizes } from '../../pool-sizes.ts'
import { countText } from '../amounts.ts'
import { type Check, fail, type Finding, ok, warn } from '../check.ts'
import type { ExaminedServer } from '../examined-database.ts'

/** From this part on, what comes next may be refused. */
const NEARLY_ALL = 0.8

interface Limits {
  readonly max: number
  readonly reserved: number
}

interface Used {
  readonly database: string
  readonly application: string
  readonly connections: number
}

export const CONNECTIONS: Check = {
  name: 'connections',
  on: 'server',
  looksAt:
    'What all processes of the installation may open together, by the sizes of their pools, beside what others have open, against max_connections and the limits of login and database.',
  why: 'Pools open connections only as the load rises: too many of them fail at the worst moment.',
  async examine(server, { config, processes: asked }) {
    const limits = await readLimits(server)
    const used = await readUsed(server)
    const processes = asked ?? Math.max(1, server.connected.processes)
    const each = demandOfOne(server, config)
    const others = total(used.filter((row) => !isOurs(row, server)))
    const available = limits.max - limits.reserved
    const facts = { ...limits, available, processes, perProcess: each, others, used }
    const sum = sumUp({ processes, each, others, limits, facts })
    return [sum, ...judgeUse(total(used), available), ...(await lookAtLoginLimits(server, processes * each))]
  },
}

interface Sum {
  readonly processes: number
  readonly each: number
  readonly others: number
  readonly limits: Limits
  readonly facts: NonNullable<Finding['facts']>
}

/** Says whether it works when every pool is full, and by how much not. */
function sumUp({ processes, each, others, limits, facts }: Sum): Finding {
  const demand = processes * each
  const available = limits.max - limits.reserved
  const says =
    `${countText(processes, 'process', 'processes')} may open ${demand} connections (${each} each)` +
    `${others === 0 ? '' : `, others have ${others}`}; the server gives ${available} (${limits.max} less ${limits.reserved} reserved).`
  const missing = demand + others - available
  if (missing <= 0) return ok(says, { ...facts, missing: 0 })
  const less = Math.ceil(missing / processes)
  return fail(
    `${says} That is ${missing} too many.`,
    'When the load rises, connections are refused: to requests, to workers, and to whoever wants to look.',
    `Run \`alter system set max_connections = ${roundUp(limits.max + missing)}\` and restart the server, ` +
      `make the pools of each process smaller by ${less} (NOMALY_DATABASE_POOL_SIZE, NOMALY_DATABASE_POOL_OVERFLOW), or put PgBouncer in between.`,
    { ...facts, missing },
  )
}

function judgeUse(used: number, available: number): Finding[] {
  if (used < available * NEARLY_ALL) return []
  return [
    warn(
      `${used} of ${available} connections are open now.`,
      'The next ones may be refused.',
      'See in `facts.used` of `--output json` whose they are; end those that nobody needs.',
    ),
  ]
}

/** What a process may open to this server, by what is on it. */
function demandOfOne({ databases }: ExaminedServer, config: Parameters<typeof poolSizes>[0]): number {
  const { core, metrics } = connectionsOf(poolSizes(config))
  return databases.reduce((sum, { holds }) => sum + (holds === 'metrics' ? metrics : core), 0)
}

async function readLimits({ ask }: ExaminedServer): Promise<Limits> {
  const [row] = await ask<Limits>(
    `select current_setting('max_connections')::int4 as max,
       current_setting('superuser_reserved_connections')::int4
         + coalesce(current_setting('reserved_connections', true)::int4, 0) as reserved`,
  )
  return row!
}

/** Background processes, which have no place among them, are not told to everybody; they have no database, or another kind. */
async function readUsed({ ask }: ExaminedServer): Promise<Used[]> {
  return ask<Used>(
    `select datname as database, application_name as application, count(*)::int4 as connections
     from pg_stat_activity
     where datname is not null and coalesce(backend_type, 'client backend') = 'client backend' and pid <> pg_backend_pid()
       and application_name <> 'nomaly doctor'
     group by 1, 2 order by 3 desc, 1, 2`,
  )
}

/** Whatever processes of the installation have open is part of what they may. */
const OURS = new Set(['nomaly', 'nomaly metrics', 'nomaly notifier', 'nomaly queue', 'nomaly worker'])

function isOurs({ application, database }: Used, { databases }: ExaminedServer): boolean {
  return OURS.has(application) && databases.some(({ databaseName }) => databaseName === database)
}

async function lookAtLoginLimits({ ask, databases }: ExaminedServer, demand: number): Promise<Finding[]> {
  const [row] = await ask<{ login: number; database: number }>(
    `select coalesce((select rolconnlimit from pg_roles where rolname = $1), -1) as login,
       (select datconnlimit from pg_database where datname = current_database()) as database`,
    [databases[0]!.applicationLogin],
  )
  return Object.entries(row!).flatMap(([what, limit]) =>
    limit < 0 || limit >= demand
      ? []
      : [
          fail(
            `The ${what} may have ${limit} connections, and the processes may open ${demand}.`,
            'When the load rises, connections are refused.',
            what === 'login'
              ? `Run \`alter role … connection limit ${demand}\` as an administrator, or make the pools smaller.`
              : `Run \`alter database … connection limit ${demand}\` as an administrator, or make the pools smaller.`,
          ),
        ],
  )
}

function total(rows: readonly Used[]): number {
  return rows.reduce((sum, { connections }) => sum + connections, 0)
}

function roundUp(connections: number): number {
  return Math.ceil(connections / 10) * 10
}
