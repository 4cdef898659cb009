import { randomUUID } from 'node:crypto'
import cookie from '@fastify/cookie'
import helmet from '@fastify/helmet'
import underPressure from '@fastify/under-pressure'
import Fastify, { LogController } from 'fastify'
import type { Config } from '../config/profiles.ts'
import { NomalyError } from '../errors.ts'
import type { Store } from '../store/store.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { ProcessMetrics } from '../telemetry/process-metrics.ts'
import type { Api } from './api.ts'
import { registerAuthentication } from './plugins/authentication.ts'
import { BrowserCookie } from './plugins/browser-cookie.ts'
import { registerDashboard } from './plugins/dashboard.ts'
import { answerBadHttp, answerBadPath } from './plugins/malformed-requests.ts'
import { registerIdempotency } from './plugins/idempotency.ts'
import { registerOpenApi } from './plugins/openapi.ts'
import { registerProblemDetails } from './plugins/problem-details.ts'
import { registerPurpose } from './plugins/purpose.ts'
import { noteAttempts, registerAttemptLimits, registerRateLimits } from './plugins/rate-limits.ts'
import { closeRefusedUpgrades, isUpgrade } from './plugins/upgrades.ts'
import { compileValidator } from './plugins/validation.ts'
import { registerAccountRoutes } from './routes/account.ts'
import { registerAnomalyRoutes } from './routes/anomalies.ts'
import { registerBackfillPartRoutes, registerBackfillRoutes } from './routes/backfills.ts'
import { registerDatasetRoutes } from './routes/datasets.ts'
import { registerDemoRoutes } from './routes/demo.ts'
import { registerDetectorRoutes } from './routes/detectors.ts'
import { registerDetectRoutes } from './routes/detect.ts'
import { registerEstimateRoutes } from './routes/estimate.ts'
import { registerEventRoutes } from './routes/events.ts'
import { registerFlagEvaluationRoutes } from './routes/flag-evaluation.ts'
import { registerFlagRoutes } from './routes/flags.ts'
import { registerExportRoutes } from './routes/export.ts'
import { registerHealthRoutes } from './routes/health.ts'
import { registerJobRoutes } from './routes/jobs.ts'
import { registerKeyRoutes } from './routes/keys.ts'
import { acceptPointFormats, registerPointRoutes } from './routes/points.ts'
import { registerQueryRoutes } from './routes/query.ts'
import { registerSeriesRoutes } from './routes/series.ts'
import { registerSessionRoutes } from './routes/sessions.ts'
import { registerSettingRoutes } from './routes/settings.ts'
import { registerWebhookRoutes } from './routes/webhook.ts'
import { trustedProxies } from './trusted-proxies.ts'

export interface AppOptions {
  readonly store: Store
  readonly config: Config
  readonly logger: Logger
  readonly metrics: ProcessMetrics
  readonly version: string
  /** Hosts that the Host header may name; `undefined` lets every one pass. */
  readonly allowedHosts: () => ReadonlySet<string> | undefined
  /** Whether the process has been told to end, and only finishes what is under way. */
  readonly isStopping?: () => boolean
  /** Folder of the built dashboard. */
  readonly dashboardDirectory: string
}

const JSON_BODY_BYTES = 1_048_576
const REQUEST_TIMEOUT_MS = 300_000

/** The HTTP application, without a port: `inject` reaches every route. */
export async function buildApp(options: AppOptions): Promise<Api> {
  const { store, config, metrics } = options
  // The Host header is checked together with what it names, so that its absence is answered like everything else.
  const serving = { requireHostHeader: false, shouldUpgradeCallback: isUpgrade }
  const { tlsCert: cert, tlsKey: key } = config
  const app = Fastify({
    loggerInstance: options.logger,
    logController: new LogController({ disableRequestLogging: true }),
    trustProxy: trustedProxies(config.trustedProxies),
    bodyLimit: JSON_BODY_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    connectionTimeout: REQUEST_TIMEOUT_MS,
    routerOptions: { maxParamLength: 300 },
    genReqId: () => randomUUID(),
    ...(cert === undefined ? { http: serving } : { https: { ...serving, cert, key } as object }),
    frameworkErrors: answerBadPath,
    clientErrorHandler: answerBadHttp,
    // Those who keep a connection open are told to leave while the process ends.
    forceCloseConnections: 'idle',
  }) as unknown as Api
  closeRefusedUpgrades(app)
  app.setValidatorCompiler(compileValidator as never)
  registerProblemDetails(app)
  await app.register(cookie)
  await app.register(helmet, {
    contentSecurityPolicy: {
      useDefaults: false,
      directives: {
        defaultSrc: ["'self'"],
        // The component library sets sizes and colours in style attributes.
        styleSrc: ["'self'", "'unsafe-inline'"],
        imgSrc: ["'self'", 'data:'],
        frameAncestors: ["'none'"],
        objectSrc: ["'none'"],
        baseUri: ["'none'"],
        formAction: ["'self'"],
      },
    },
    hsts: false,
    referrerPolicy: { policy: 'no-referrer' },
  })
  await app.register(underPressure, {
    maxEventLoopDelay: 2_000,
    pressureHandler: (request) => {
      // Restarting a process that is busy would make everything worse.
      if (request.url === '/healthz') return
      throw new NomalyError('overloaded', 'The server is too busy to answer in time.', {
        hint: 'Send the request again in a moment.',
        retryAfterSeconds: 2,
      })
    },
  })
  const browserCookie = new BrowserCookie(config.publicUrl?.startsWith('https:') === true)
  registerAttemptLimits(app, store, browserCookie)
  registerAuthentication(app, { store, cookie: browserCookie, allowedHosts: options.allowedHosts })
  noteAttempts(app, store, browserCookie)
  registerRateLimits(app, store)
  registerIdempotency(app)
  registerPurpose(app)
  app.addHook('onResponse', async (request, reply) => {
    const route = request.routeOptions.url ?? 'none'
    metrics.requestSeconds.observe(
      { method: request.method, route, status: reply.statusCode },
      reply.elapsedTime / 1000,
    )
    request.log.debug(
      { method: request.method, route, status: reply.statusCode, ms: reply.elapsedTime },
      'request',
    )
  })
  await registerOpenApi(app, options.version)

  await app.register(async (scope) => {
    acceptPointFormats(scope, config, metrics)
    registerPointRoutes(scope, store, config, metrics)
    registerBackfillPartRoutes(scope, store, config)
    registerDetectRoutes(scope, config)
    registerEstimateRoutes(scope, store, config)
  })
  await app.register(async (scope) => {
    acceptEmptyJson(scope)
    const routes = scope as unknown as Api
    registerAccountRoutes(routes, store, options.version)
    registerSessionRoutes(routes, store, browserCookie)
    registerDatasetRoutes(routes, store)
    registerBackfillRoutes(routes, store)
    registerExportRoutes(routes, store)
    registerSeriesRoutes(routes, store)
    registerQueryRoutes(routes, store)
    registerDetectorRoutes(routes, store)
    registerJobRoutes(routes, store)
    registerAnomalyRoutes(routes, store)
    registerKeyRoutes(routes, store)
    registerWebhookRoutes(routes, store, config.webhookPrivateAddresses)
    registerFlagRoutes(routes, store)
    registerFlagEvaluationRoutes(routes, store)
    registerSettingRoutes(routes, store)
    registerDemoRoutes(routes, store)
    registerHealthRoutes(routes, store, metrics, options.isStopping ?? (() => false))
  })
  // Apart, since it hears of every request that wants to become a WebSocket.
  await app.register((scope) => registerEventRoutes(scope, store, config, metrics))
  await registerDashboard(app, options.dashboardDirectory)
  await app.ready()
  return app
}

/** Clients that always name a content type send it with empty bodies too; then there is no body. */
function acceptEmptyJson(app: Api): void {
  const parse = app.getDefaultJsonParser('error', 'ignore')
  app.removeContentTypeParser('application/json')
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) => {
    if (body === '') done(null, undefined)
    else void parse(request, body as string, done)
  })
}
