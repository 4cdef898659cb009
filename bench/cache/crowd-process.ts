// A process of readers who miss at once, started by the benchmark.
import { Type } from 'typebox'
import { loadConfig } from '../../src/config/load.ts'
import { openStore } from '../../src/store/open-store.ts'
import { ALL_POINTS, pointsTag } from '../../src/store/point-tags.ts'
import { readAggregate } from './aggregate.ts'
import type { CrowdOptions } from './crowd.ts'

const { databaseUrl, redisUrl, tenantId, sourceId } = JSON.parse(process.argv[2]!) as CrowdOptions
const config = loadConfig({
  NOMALY_DATABASE_POOL_SIZE: '4',
  NOMALY_DATABASE_POOL_OVERFLOW: '0',
  REDIS_URL: redisUrl,
})
await using store = await openStore(config, databaseUrl, (line) => console.error(line))
const scope = { tenantId }
process.on('message', ({ key, readers }: { key: string; readers: number }) => {
  let loads = 0
  const read = (): Promise<unknown> =>
    store.cache.read(scope, {
      key,
      tags: [ALL_POINTS, pointsTag(sourceId)],
      schema: Type.Number(),
      freshness: 'latest',
      load: () => {
        loads++
        return readAggregate(store, scope, sourceId, 'uncached')
      },
    })
  void Promise.all(Array.from({ length: readers }, read)).then(() => process.send!(loads))
})
process.send!(0)
await new Promise((resolve) => process.once('disconnect', resolve))
