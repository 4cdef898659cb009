import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { createSecureContext } from 'node:tls'
import type { Config } from '../config/profiles.ts'
import { NomalyError } from '../errors.ts'
import type { Store } from '../store/store.ts'
import type { Logger } from '../telemetry/logger.ts'
import type { ProcessMetrics } from '../telemetry/process-metrics.ts'
import { buildApp } from './app.ts'

export interface ServerOptions {
  readonly store: Store
  readonly config: Config
  readonly logger: Logger
  readonly metrics: ProcessMetrics
  readonly version: string
  readonly log: (message: string) => void
}

/** A listening server. */
export interface ApiServer extends AsyncDisposable {
  /** How browsers reach it, without a slash at the end. */
  readonly url: string
  readonly port: number
}

/** Ports that are tried after the configured one. */
const PORT_TRIES = 100
const IDLE_CHECK_MS = 50
const LOOPBACK = new Set(['127.0.0.1', '::1', 'localhost'])

/**
 * Starts to listen, on the next free port where the configured one is taken. Disposed of, it is not ready any more, serves on for
 * `drainDelayMs`, and then closes.
 * @throws NomalyError `invalid_input` where only one of certificate and key is given, or they do not fit.
 */
export async function startServer(options: ServerOptions): Promise<ApiServer> {
  const { config } = options
  const publicHost = config.publicUrl === undefined ? undefined : new URL(config.publicUrl).hostname
  // On a network address any name may be right, unless the public one is known.
  const isOpen = !LOOPBACK.has(config.host) && publicHost === undefined
  const allowed = new Set([
    ...LOOPBACK,
    '[::1]',
    config.host,
    ...(publicHost === undefined ? [] : [publicHost]),
  ])
  requireTls(config)
  let isStopping = false
  const app = await buildApp({
    ...options,
    isStopping: () => isStopping,
    allowedHosts: () => (isOpen ? undefined : allowed),
    dashboardDirectory: findDashboard(),
  })
  try {
    await listen(app, config, options.log)
  } catch (error) {
    await app.close()
    throw error
  }
  const { port } = app.server.address() as AddressInfo
  const host = config.host === '0.0.0.0' || config.host === '::' ? 'localhost' : config.host
  const url =
    config.publicUrl?.replace(/\/$/, '') ??
    `${config.tlsCert === undefined ? 'http' : 'https'}://${host.includes(':') ? `[${host}]` : host}:${port}`
  return {
    url,
    port,
    async [Symbol.asyncDispose]() {
      isStopping = true
      await sleep(config.drainDelayMs)
      await close(app, config.drainTimeoutMs)
    },
  }
}

/** What Node says of a certificate that cannot be used names neither it nor its setting. */
function requireTls({ tlsCert, tlsKey }: Config): void {
  if (tlsCert === undefined && tlsKey === undefined) return
  try {
    if (tlsCert === undefined || tlsKey === undefined) throw new Error('only one of the two is set')
    createSecureContext({ cert: tlsCert, key: tlsKey })
  } catch (error) {
    throw new NomalyError(
      'invalid_input',
      `NOMALY_TLS_CERT and NOMALY_TLS_KEY cannot be used: ${(error as Error).message}.`,
      {
        hint: 'Give both, PEM, of one key pair; NOMALY_TLS_CERT_FILE and NOMALY_TLS_KEY_FILE name files.',
        cause: error,
      },
    )
  }
}

/**
 * Lets requests under way finish. Their connections must go with their answers: clients keep them open, and the server would
 * wait for each until its idle time is over.
 */
async function close(app: Awaited<ReturnType<typeof buildApp>>, drainTimeoutMs: number): Promise<void> {
  const idle = setInterval(() => app.server.closeIdleConnections(), IDLE_CHECK_MS)
  const late = setTimeout(() => app.server.closeAllConnections(), drainTimeoutMs)
  try {
    await app.close()
  } finally {
    clearInterval(idle)
    clearTimeout(late)
  }
}

async function listen(
  app: Awaited<ReturnType<typeof buildApp>>,
  config: Config,
  log: (message: string) => void,
): Promise<void> {
  for (let port = config.port; ; port++) {
    try {
      await app.listen({ host: config.host, port })
      if (port !== config.port) log(`Port ${config.port} is taken: listening on ${port}.`)
      return
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'EADDRINUSE' && port < Math.min(65_535, config.port + PORT_TRIES)) continue
      throw new NomalyError(
        'unavailable',
        `It cannot listen on ${config.host}:${port} (${code ?? String(error)}).`,
        {
          hint: 'Set NOMALY_HOST and NOMALY_PORT to an address of this machine and a port that is free.',
          cause: error,
        },
      )
    }
  }
}

/** The built dashboard, beside the published code or in the checkout's `dist`. */
function findDashboard(): string {
  const published = join(import.meta.dirname, '..', 'dashboard')
  return existsSync(join(published, 'index.html'))
    ? published
    : join(import.meta.dirname, '..', '..', 'dist', 'dashboard')
}
