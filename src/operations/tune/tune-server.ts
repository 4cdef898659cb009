import { parseDatabaseUrl } from '../../config/database-url.ts'
import { connectClient } from '../../database/connect.ts'
import type { Config } from '../../config/profiles.ts'
import { measureMachine } from '../../database/measure-machine.ts'
import type { Machine } from '../../database/server-settings.ts'
import { NomalyError } from '../../errors.ts'
import { connectionsOf, poolSizes } from '../pool-sizes.ts'
import { planServer, type ServerPlan, type ServerRole, type Storage } from './server-plan.ts'
import { readServerValues, type ServerValue } from './server-values.ts'
import { explainSettings, type TunedSetting } from './tuning.ts'

export interface TuneOptions {
  readonly role: ServerRole
  readonly storage: Storage
  /** Processes of the installation, `nomaly start` and `nomaly worker` alike, that open connections to it. */
  readonly processes: number
  /** What is not given is measured here. */
  readonly machine: Partial<Machine>
}

/** For psql, backups, monitoring and a migration. */
const CONNECTIONS_FOR_TOOLS = 15

/** Settings of a server of the operator's own, beside what it has now where it answers. */
export interface ServerTuning {
  readonly plan: ServerPlan
  readonly settings: readonly TunedSetting[]
  /** Why the server could not be asked. */
  readonly notAsked: string | null
}

/**
 * What a server that has its machine to itself should be set to.
 * @throws NomalyError `invalid_input` where the server is on another machine, whose memory and processors nobody has told.
 */
export async function tuneServer(
  config: Config,
  url: string | undefined,
  options: TuneOptions,
): Promise<ServerTuning> {
  const plan = {
    ...measureMachine(),
    ...options.machine,
    role: options.role,
    storage: options.storage,
    maxConnections: connectionsFor(config, options.processes),
  }
  requireMachine(url, options.machine)
  const settings = planServer(plan)
  if (url === undefined) return { plan, settings: explainSettings(settings), notAsked: null }
  try {
    const names = settings.map(({ name }) => name)
    const values = await readValuesAt(url, names)
    return { plan, settings: explainSettings(settings, values), notAsked: null }
  } catch (error) {
    return { plan, settings: explainSettings(settings), notAsked: (error as Error).message }
  }
}

/** Enough for what so many processes may open, and for tools, in tens. */
export function connectionsFor(config: Config, processes: number): number {
  const each = connectionsOf(poolSizes(config))
  return Math.ceil((processes * (each.core + each.metrics) + CONNECTIONS_FOR_TOOLS) / 10) * 10
}

function requireMachine(url: string | undefined, { memoryBytes, processors }: Partial<Machine>): void {
  if (url === undefined || isHere(url) || (memoryBytes !== undefined && processors !== undefined)) return
  throw new NomalyError(
    'invalid_input',
    `The database server is on ${serversOf(url).join(', ')}, and how large that machine is cannot be seen from here.`,
    {
      hint: 'Give its memory and processors: `nomaly tune --memory 16GB --cpus 4`.',
      problems: [{ field: 'memory', reason: 'must be given for a server on another machine' }],
    },
  )
}

function isHere(url: string): boolean {
  return serversOf(url).every((host) => ['', 'localhost', '127.0.0.1', '[::1]', '::1'].includes(host))
}

function serversOf(url: string): string[] {
  return parseDatabaseUrl(url).hosts.map((host) => new URL(host.url).hostname)
}

/** Asks a server for its settings. @throws Error of the driver. */
export async function readValuesAt(
  url: string,
  names: readonly string[],
): Promise<ReadonlyMap<string, ServerValue>> {
  const client = await connectClient(url, {
    application_name: 'nomaly tune',
    connectionTimeoutMillis: 5_000,
    query_timeout: 5_000,
  })
  client.on('error', () => {})
  try {
    return await readServerValues(client, names)
  } finally {
    await client.end().catch(() => {})
  }
}
