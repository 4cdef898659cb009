import { join } from 'node:path'
import { loadConfig } from '../src/config/load.ts'
import { startEmbeddedServer } from '../src/database/embedded-server.ts'
import { APPLICATION_LOGIN, urlForLogin } from '../src/operations/connection-urls.ts'
import { migrateInstance } from '../src/operations/open-instance.ts'
import { openStore } from '../src/store/open-store.ts'
import type { Benchmark } from './benchmark.ts'
import { atLeast, atMost, type Check, median, reported } from './checks.ts'
import { freePorts } from './instance.ts'
import { type Mix, type TransactionalSide } from './pool/mix.ts'
import { overload } from './pool/overload.ts'
import { ProductSide } from './pool/product-side.ts'
import { SqliteTransactions } from './pool/sqlite-side.ts'

const SIZES = {
  full: { seconds: 20, rounds: 3, sideSeconds: 4, clients: [1, 2, 4, 8, 16, 32] },
  quick: { seconds: 5, rounds: 1, sideSeconds: 1, clients: [1, 8, 32] },
} as const
/** Connections of the pool, as the embedded profile has them. */
const POOL = { size: 8, overflow: 12 }
const DEMAND = 10
const ACQUIRE_TIMEOUT_MS = 5_000
/** What a statement may take on top of the wait, on a machine that is this busy. */
const WORK_MS = 5_000
const PEAK_CLIENTS = [4, 8, 16, 20]

/** What a pool does under far more than it has connections for, and transactional queries beside SQLite. */
export const pool: Benchmark = {
  summary: `a pool under ${DEMAND} times its size in demand, and transactional queries beside SQLite`,
  async run({ quick, directory, signal, log, progress }) {
    const size = quick ? SIZES.quick : SIZES.full
    await using stack = new AsyncDisposableStack()
    const [preferredPort] = await freePorts(1)
    const server = stack.use(
      await startEmbeddedServer({
        dataDirectory: join(directory, 'server'),
        preferredPort: preferredPort!,
        log,
        signal,
      }),
    )
    const login = { name: APPLICATION_LOGIN, password: 'bench' }
    await migrateInstance({ adminUrl: server.adminUrl, applicationLogin: login }, 'partitioned', log)
    const config = loadConfig({
      NOMALY_DATABASE_POOL_SIZE: String(POOL.size),
      NOMALY_DATABASE_POOL_OVERFLOW: String(POOL.overflow),
      NOMALY_DATABASE_ACQUIRE_TIMEOUT_MS: String(ACQUIRE_TIMEOUT_MS),
    })
    const url = urlForLogin(server.adminUrl, login.name, login.password)
    const store = stack.use(await openStore(config, url, log))
    const side = await ProductSide.fill(store)
    const max = POOL.size + POOL.overflow

    log('the unloaded peak, and under demand …')
    const ratios: number[] = []
    const checks: Check[] = []
    let worst: Awaited<ReturnType<typeof overload>> | undefined
    for (let round = 0; round < size.rounds; round++) {
      // Beside each other, as the machine may be busier in one minute than in the next.
      let peak = 0
      for (const clients of PEAK_CLIENTS) {
        progress(`round ${round + 1}: ${clients} clients`)
        const { perSecond } = await side.measure('mixed', clients, size.seconds / PEAK_CLIENTS.length)
        peak = Math.max(peak, perSecond)
        signal.throwIfAborted()
      }
      const all = max * DEMAND
      const crowd = { web: all * 0.75, work: all * 0.2, maintenance: all * 0.05 }
      const report = await overload(side, crowd, size.seconds)
      signal.throwIfAborted()
      log(`peak ${Math.round(peak)}/s, under demand ${Math.round(report.perSecond)}/s`)
      ratios.push(report.perSecond / peak)
      if (worst === undefined || report.longestMs > worst.longestMs) worst = report
    }
    const { longestMs, failed, refused, least, average } = worst!
    checks.push(
      atLeast(
        `throughput under ${DEMAND} times the pool in demand, of the unloaded peak`,
        median(ratios),
        '×',
        0.8,
      ),
      atMost('longest until an answer or a refusal', longestMs, 'ms', ACQUIRE_TIMEOUT_MS + WORK_MS),
      atMost('failures that are no refusal', failed, '', 0),
      reported('refused', refused, ''),
      ...(['web', 'work', 'maintenance'] as const).flatMap((budget) => [
        atLeast(`served of ${budget}, the client that was served least`, least[budget], 'times', 1),
        reported(`served of ${budget}, on average`, average[budget], 'times'),
      ]),
    )

    log('a crowd that comes at once …')
    const before = store.database.poolUse.budgets.web.refused
    const burst = config.databasePoolQueue * 4
    const startedAt = performance.now()
    const outcomes = await Promise.allSettled(
      Array.from({ length: burst }, (_, index) => side.do('read job', index)),
    )
    const after = store.database.poolUse.budgets.web.refused
    checks.push(
      reported(`of ${burst} requests at the same moment refused at once`, after.full - before.full, ''),
      atMost(
        'of them neither answered nor refused',
        outcomes.filter(
          (one) => one.status === 'rejected' && (one.reason as { code?: string }).code !== 'overloaded',
        ).length,
        '',
        0,
      ),
      atMost(
        'until all of them have an answer',
        performance.now() - startedAt,
        'ms',
        ACQUIRE_TIMEOUT_MS + WORK_MS,
      ),
    )

    log('beside SQLite …')
    const sqlite = stack.use(new SqliteTransactions(join(directory, 'transactions.sqlite')))
    for (const mix of ['reads', 'writes', 'mixed'] as const)
      for (const clients of size.clients) {
        signal.throwIfAborted()
        progress(`${mix}, ${clients} clients`)
        checks.push(...(await beside(side, sqlite, mix, clients, size.sideSeconds)))
      }
    return { checks, versions: { sqlite: process.versions['sqlite'] ?? 'unknown' } }
  },
}

async function beside(
  product: TransactionalSide,
  sqlite: TransactionalSide,
  mix: Mix,
  clients: number,
  seconds: number,
): Promise<Check[]> {
  const ours = await product.measure(mix, clients, seconds)
  const theirs = await sqlite.measure(mix, clients, seconds)
  const name = `${mix}, ${clients} ${clients === 1 ? 'client' : 'clients'}`
  return [
    reported(`${name}: times SQLite`, ours.perSecond / theirs.perSecond, '×'),
    reported(`${name}: the product`, ours.perSecond, '/s'),
    reported(`${name}: SQLite`, theirs.perSecond, '/s'),
    reported(`${name}: the product, 99 % within`, ours.p99Ms, 'ms'),
    reported(`${name}: SQLite, 99 % within`, theirs.p99Ms, 'ms'),
  ]
}
