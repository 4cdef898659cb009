import { Gauge } from 'prom-client'
import { measureBackups } from '../../operations/backup/drill/measure-backups.ts'
import type { Store } from '../../store/store.ts'
import type { ProcessMetrics } from '../../telemetry/process-metrics.ts'
import type { Api } from '../api.ts'

/** For load balancers and Prometheus; open to everyone, and without any tenant's data. */
export function registerHealthRoutes(
  app: Api,
  store: Store,
  metrics: ProcessMetrics,
  isStopping: () => boolean,
): void {
  const open = { config: { permission: 'public' as const }, schema: { hide: true } }

  // The process answers: nothing else is looked at, or a slow database would get every process restarted.
  app.get('/healthz', open, async () => ({ status: 'ok' }))

  app.get('/readyz', open, async (_request, reply) => {
    // Balancers then send what is new to others, and this process finishes what it has.
    if (isStopping()) return reply.code(503).send({ status: 'stopping', checks: [] })
    const { status, checks } = await store.health()
    // Without its metrics database a process still serves what needs only the core, and so would no other.
    return reply.code(status === 'not ready' ? 503 : 200).send({ status, checks })
  })

  if (store.isRedisUp !== undefined)
    new Gauge({
      name: 'nomaly_redis_up',
      help: '1 where Redis is used, 0 while it is away and the product goes on without it',
      registers: [metrics.registry],
      collect() {
        this.set(store.isRedisUp ? 1 : 0)
      },
    })

  measureBackups(metrics.registry, store.database, Date.now)

  app.get('/metrics', open, async (_request, reply) =>
    reply.type(metrics.registry.contentType).send(await metrics.registry.metrics()),
  )
}
