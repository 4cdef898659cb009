import type { Role } from '../../src/access/roles.ts'
import { startServer, type ApiServer } from '../../src/api/server.ts'
import { loadConfig } from '../../src/config/load.ts'
import type { Config } from '../../src/config/profiles.ts'
import { urlForLogin } from '../../src/operations/connection-urls.ts'
import { followLogLevel } from '../../src/operations/follow-log-level.ts'
import { migrateInstance } from '../../src/operations/open-instance.ts'
import { openStore } from '../../src/store/open-store.ts'
import type { Store } from '../../src/store/store.ts'
import { createLogger } from '../../src/telemetry/logger.ts'
import { createProcessMetrics } from '../../src/telemetry/process-metrics.ts'
import { Worker } from '../../src/worker/worker.ts'
import { createTestDatabase, type TestDatabase } from './postgres.ts'

/** A tenant of a test, with a key of the role that was asked for. */
export interface TestTenant {
  readonly tenantId: string
  readonly key: string
}

/** A whole installation in this process, on a database of its own and a free port. */
export interface TestNomaly extends AsyncDisposable {
  readonly store: Store
  readonly url: string
  /** A tenant with an admin key. */
  readonly tenant: TestTenant
  readonly database: TestDatabase
  /** Of the application's login, which row-level security binds. */
  readonly databaseUrl: string
  createTenant(name: string): Promise<TestTenant>
  createKey(tenantId: string, role: Role): Promise<string>
  /** A request with the tenant's key, unless another one is given. */
  request(method: string, path: string, options?: TestRequest): Promise<TestAnswer>
}

export interface TestRequest {
  readonly key?: string
  /** Sent as JSON, unless it is text or bytes. */
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
}

export interface TestAnswer {
  readonly status: number
  readonly headers: Headers
  // What a test expects of an answer is what it asserts.
  // eslint-disable-next-line typescript/no-explicit-any
  readonly body: any
}

const LOGIN = { name: 'nomaly_test', password: 'test' }

/** A database migrated as for an installation, cloned from a template, and the address of the application's login on it. */
export async function createMigratedDatabase(
  { metricsEngine }: Pick<Config, 'metricsEngine'> = testConfig(),
): Promise<{ database: TestDatabase; databaseUrl: string }> {
  const database = await createTestDatabase({
    prepare: {
      key: `migrated for ${metricsEngine}`,
      run: async (adminUrl) => {
        await migrateInstance({ adminUrl, applicationLogin: LOGIN }, metricsEngine, () => {})
      },
    },
  })
  return { database, databaseUrl: urlForLogin(database.adminUrl, LOGIN.name, LOGIN.password) }
}

/** Settings of a test: the defaults, a free port, little noise; `TEST_METRICS_ENGINE` decides what keeps the metrics. */
export function testConfig(changes: Partial<Config> = {}): Config {
  return {
    ...loadConfig({
      NOMALY_PORT: '0',
      NOMALY_LOG_LEVEL: 'fatal',
      NOMALY_DATABASE_POOL_SIZE: '8',
      NOMALY_DATABASE_POOL_OVERFLOW: '0',
      NOMALY_METRICS_ENGINE: process.env['TEST_METRICS_ENGINE'] ?? 'auto',
    }),
    ...changes,
  }
}

export interface TestNomalyOptions {
  /** `false` leaves out everything that is done in the background. */
  readonly worker?: boolean
  readonly config?: Partial<Config>
  /** Another installation: this one works on the same database and has the same tenant. */
  readonly beside?: TestNomaly
  /** A database that was made for it; it is left to who made it. */
  readonly on?: { readonly database: TestDatabase; readonly databaseUrl: string }
}

/** Starts an installation. */
export async function startTestNomaly(options: TestNomalyOptions = {}): Promise<TestNomaly> {
  const { beside, on } = options
  const settings = testConfig(options.config)
  await using stack = new AsyncDisposableStack()
  const { database, databaseUrl } = beside ?? on ?? (await createMigratedDatabase(settings))
  if (beside === undefined && on === undefined) stack.use(database)
  const logger = createLogger(settings.logLevel)
  const store = stack.use(await openStore(settings, databaseUrl, () => {}))
  const config = store.liveSettings.follow(settings)
  followLogLevel(logger, store.liveSettings)
  const metrics = createProcessMetrics(store)
  if (options.worker !== false)
    stack.use(
      await Worker.start({
        store,
        databaseUrl: settings.directDatabaseUrl ?? databaseUrl,
        concurrency: 2,
        drainTimeoutMs: 5_000,
        webhookPrivateAddresses: 'allow',
        logger,
        metrics,
      }),
    )
  const server: ApiServer = stack.use(
    await startServer({ store, config, logger, metrics, version: '0.0.0-test', log: () => {} }),
  )
  const createKey = async (tenantId: string, role: Role): Promise<string> => {
    const { value } = await store.transaction({ tenantId }, (unit) => unit.apiKeys.create(role, role))
    return value.key
  }
  const createTenant = async (name: string): Promise<TestTenant> => {
    const { id: tenantId } = await store.tenants.create(name)
    return { tenantId, key: await createKey(tenantId, 'admin') }
  }
  const tenant = beside?.tenant ?? (await createTenant('default'))
  const resources = stack.move()
  return {
    store,
    url: server.url,
    tenant,
    database,
    databaseUrl,
    createTenant,
    createKey,
    request: (method, path, request = {}) => send(server.url, method, path, { key: tenant.key, ...request }),
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}

async function send(url: string, method: string, path: string, request: TestRequest): Promise<TestAnswer> {
  const { body, headers = {}, key } = request
  const isRaw = (value: unknown): value is string | Uint8Array<ArrayBuffer> =>
    typeof value === 'string' || value instanceof Uint8Array
  const response = await fetch(url + path, {
    method,
    redirect: 'manual',
    headers: {
      ...(key === undefined || key === '' ? {} : { authorization: `Bearer ${key}` }),
      ...(body === undefined || isRaw(body) ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: isRaw(body) ? body : JSON.stringify(body) }),
  })
  const text = await response.text()
  const isJson = /[/+]json/.test(response.headers.get('content-type') ?? '')
  return {
    status: response.status,
    headers: response.headers,
    body: isJson && text !== '' ? JSON.parse(text) : text,
  }
}

/** Waits until `look` answers something else than `undefined` or `false`; fails after `timeoutMs`. */
export async function eventually<T>(
  look: () => Promise<T | undefined | false>,
  timeoutMs = 20_000,
): Promise<T> {
  const until = Date.now() + timeoutMs
  for (;;) {
    const found = await look()
    if (found !== undefined && found !== false) return found
    if (Date.now() > until) throw new Error('What was waited for did not happen.')
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}
