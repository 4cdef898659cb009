import type { Config } from '../../config/profiles.ts'
import { sqlState } from '../../database/database-errors.ts'
import { invalidField, NomalyError } from '../../errors.ts'
import { findDatabaseUrls } from '../connection-urls.ts'
import { type Check, fail, type Finding, hidden, type Surroundings, type Verdict, warn } from './check.ts'
import { CHECKS } from './checks.ts'
import { explainUnreachable } from './checks/reach.ts'
import {
  countConnected,
  type DatabaseAddress,
  type ExaminedDatabase,
  type ExaminedServer,
  openExaminedDatabase,
} from './examined-database.ts'
import { examineRedis } from './examined-redis.ts'

export interface ExamineOptions extends Surroundings {
  /** Names of checks; all where it is empty. */
  readonly only: readonly string[]
  readonly signal: AbortSignal
  readonly progress?: (done: number, total: number, name: string) => void
}

export interface CheckReport extends Finding {
  readonly check: string
  /** What was looked at: `database`, `metrics database`, `redis`, `machine`. */
  readonly subject: string
}

export interface DoctorReport {
  /** The worst of all. */
  readonly verdict: Verdict
  readonly checks: readonly CheckReport[]
}

/** Something that one check is to be made on. */
interface Examination {
  readonly check: string
  readonly subject: string
  run(): Promise<Finding[]>
}

/**
 * Looks at everything an installation stands on, one after the other, and changes nothing.
 * @throws NomalyError `invalid_input` where a check that is asked for does not exist; the signal's reason.
 */
export async function examine(options: ExamineOptions): Promise<DoctorReport> {
  const wanted = chooseChecks(options.only)
  await using stack = new AsyncDisposableStack()
  const reports: CheckReport[] = []
  const databases: ExaminedDatabase[] = []
  for (const address of await findAddresses(options.config, reports)) {
    options.signal.throwIfAborted()
    const database = await openExaminedDatabase(address, () => performance.now()).catch((error: unknown) => {
      reports.push(report('reach', address.name, explainUnreachable(error, variableOf(address))))
    })
    if (database !== undefined) databases.push(stack.use(database))
  }
  const servers = await groupByServer(databases)
  const examinations = wanted.flatMap((check) => plan(check, databases, servers, options))
  examinations.push(...(await planRedis(wanted, options, reports)))
  for (const [at, { check, subject, run }] of examinations.entries()) {
    options.signal.throwIfAborted()
    options.progress?.(at, examinations.length, check)
    const findings = await run().catch((error: unknown) => [explainFailure(error)])
    reports.push(...findings.map((finding) => report(check, subject, finding)))
  }
  const order = CHECKS.map(({ name }) => name)
  const checks = reports.toSorted((a, b) => order.indexOf(a.check) - order.indexOf(b.check))
  return { verdict: worst(checks.map(({ verdict }) => verdict)), checks }
}

function chooseChecks(only: readonly string[]): readonly Check[] {
  const unknown = only.find((name) => !CHECKS.some((check) => check.name === name))
  if (unknown !== undefined)
    throw invalidField(
      'check',
      `there is no check "${unknown}"`,
      `There are: ${CHECKS.map(({ name }) => name).join(', ')}.`,
    )
  return only.length === 0 ? CHECKS : CHECKS.filter(({ name }) => only.includes(name))
}

async function findAddresses(config: Config, reports: CheckReport[]): Promise<DatabaseAddress[]> {
  const { metricsDatabaseUrl, metricsAdminDatabaseUrl } = config
  const addresses: DatabaseAddress[] = []
  try {
    addresses.push({
      name: 'database',
      holds: metricsDatabaseUrl === undefined ? 'everything' : 'core',
      isEmbedded: config.databaseUrl === undefined,
      ...(await findDatabaseUrls(config)),
    })
  } catch (error) {
    if (!(error instanceof NomalyError)) throw error
    reports.push(
      report('reach', 'database', fail(error.message, 'Nothing works without it.', error.hint ?? '')),
    )
  }
  if (metricsDatabaseUrl !== undefined)
    addresses.push({
      name: 'metrics database',
      holds: 'metrics',
      isEmbedded: false,
      adminUrl: metricsAdminDatabaseUrl ?? metricsDatabaseUrl,
      applicationUrl: metricsDatabaseUrl,
    })
  return addresses
}

function variableOf({ holds, isEmbedded }: DatabaseAddress): string | undefined {
  if (isEmbedded) return undefined
  return holds === 'metrics' ? 'METRICS_DATABASE_URL' : 'DATABASE_URL'
}

async function groupByServer(databases: readonly ExaminedDatabase[]): Promise<ExaminedServer[]> {
  const core = databases.find(({ holds }) => holds !== 'metrics')
  const connected = core === undefined ? { processes: 0, workers: 0 } : await countConnected(core)
  return [...Map.groupBy(databases, ({ systemId }) => systemId).values()].map((group) => {
    const [first] = group
    const { ask, version, isStandby, seesAll, isEmbedded } = first!
    return { databases: group, ask, version, isStandby, seesAll, isEmbedded, connected }
  })
}

/** What one check is to be made on. */
function plan(
  check: Check,
  databases: readonly ExaminedDatabase[],
  servers: readonly ExaminedServer[],
  surroundings: Surroundings,
): Examination[] {
  switch (check.on) {
    case 'machine':
      return [{ check: check.name, subject: 'machine', run: () => check.examine(surroundings) }]
    case 'database':
      return databases.map((database) => ({
        check: check.name,
        subject: database.name,
        run: () => check.examine(database, surroundings),
      }))
    case 'server':
      return servers.map((server) => ({
        check: check.name,
        subject: server.databases.map(({ name }) => name).join(', '),
        run: () => check.examine(server, surroundings),
      }))
    case 'redis':
      return []
  }
}

async function planRedis(
  wanted: readonly Check[],
  options: ExamineOptions,
  reports: CheckReport[],
): Promise<Examination[]> {
  const { redisUrl } = options.config
  const checks = wanted.filter((check) => check.on === 'redis')
  if (redisUrl === undefined || checks.length === 0) return []
  try {
    const redis = await examineRedis(redisUrl, () => performance.now(), options.signal)
    return checks.map((check) => ({
      check: check.name,
      subject: 'redis',
      run: () => check.examine(redis, options),
    }))
  } catch (error) {
    options.signal.throwIfAborted()
    reports.push(
      report(
        'redis-reach',
        'redis',
        fail(
          `It does not answer: ${(error as Error).message}.`,
          'Everything works without it, more slowly; sessions and limits are looked up in PostgreSQL or counted by each process.',
          'See that it runs, that REDIS_URL names it, and that its user may do what the guide on running Nomaly lists.',
        ),
      ),
    )
    return []
  }
}

/** A check that cannot look says so: that nothing was found would be a lie. */
function explainFailure(error: unknown): Finding {
  const message = (error as Error).message
  if (sqlState(error) === '42501') return hidden(`what this looks at: ${message}`)
  return warn(
    `It could not be looked at: ${message}.`,
    'Whether something is wrong here is not known.',
    'Try again; if it stays, please report it.',
  )
}

function report(check: string, subject: string, finding: Finding): CheckReport {
  return { check, subject, ...finding }
}

function worst(verdicts: readonly Verdict[]): Verdict {
  return (['fail', 'warn'] as const).find((verdict) => verdicts.includes(verdict)) ?? 'ok'
}
