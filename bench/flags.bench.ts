import { join } from 'node:path'
import { loadConfig } from '../src/config/load.ts'
import { startEmbeddedServer } from '../src/database/embedded-server.ts'
import { APPLICATION_LOGIN, urlForLogin } from '../src/operations/connection-urls.ts'
import { migrateInstance } from '../src/operations/open-instance.ts'
import { openStore } from '../src/store/open-store.ts'
import type { Benchmark } from './benchmark.ts'
import { atMost, reported } from './checks.ts'
import { measureEvaluation, measureSdk } from './flags/evaluation-cost.ts'
import { measurePropagation, quantile } from './flags/propagation.ts'
import { freePorts } from './instance.ts'

const PROCESSES = 10
/** Of each process: 300 in all. */
const SUBSCRIBERS = 30
const SIZES = {
  full: { changes: 600, everyMs: 100, batches: 60 },
  quick: { changes: 100, everyMs: 100, batches: 20 },
} as const

/** How soon a change of a flag is seen by all processes, and what an evaluation costs. */
export const flags: Benchmark = {
  summary: 'a change of a flag until ten processes have seen it, and the cost of an evaluation',
  async run({ quick, directory, signal, log }) {
    const { changes, everyMs, batches } = quick ? SIZES.quick : SIZES.full
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
    const databaseUrl = urlForLogin(server.adminUrl, login.name, login.password)
    const store = stack.use(await openStore(loadConfig({}), databaseUrl, log))
    const { id: tenantId } = await store.tenants.create('bench')

    log('evaluating …')
    const costs = await measureEvaluation(store, tenantId, batches)
    const sdk = await measureSdk(store, tenantId, Math.ceil(batches / 4))
    log(`${changes} changes, ${PROCESSES} processes with ${SUBSCRIBERS} subscribers each …`)
    const { untilAllMs, untilEachMs, untilCommittedMs } = await measurePropagation({
      store,
      databaseUrl,
      tenantId,
      processes: PROCESSES,
      subscribers: SUBSCRIBERS,
      changes,
      everyMs,
      signal,
    })
    const all = `all of ${PROCESSES * SUBSCRIBERS} subscribers in ${PROCESSES} processes`
    return {
      checks: [
        atMost(`a change until it is seen by ${all}, 99 % within`, quantile(untilAllMs, 0.99), 'ms', 100),
        reported('the same, half within', quantile(untilAllMs, 0.5), 'ms'),
        reported('a change until one subscriber sees it, 99 % within', quantile(untilEachMs, 0.99), 'ms'),
        reported('of it until the commit is answered, 99 % within', quantile(untilCommittedMs, 0.99), 'ms'),
        reported('of it until the commit is answered, half within', quantile(untilCommittedMs, 0.5), 'ms'),
        atMost('evaluation, boolean without rules', costs['plain-boolean']! / 1_000, 'µs', 1),
        atMost('evaluation, percentage', costs['percentage']! / 1_000, 'µs', 1),
        atMost('evaluation, nine rules for others and a percentage', costs['ten-rules']! / 1_000, 'µs', 1),
        reported('percentage, through the OpenFeature SDK', sdk / 1_000, 'µs'),
      ],
      versions: {},
    }
  },
}
