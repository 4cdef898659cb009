import { OpenFeature } from '@openfeature/server-sdk'
import type { FlagContext } from '../../src/flags/evaluation.ts'
import type { FlagInput } from '../../src/flags/check-flag.ts'
import { NomalyProvider } from '../../src/flags/nomaly-provider.ts'
import type { Store } from '../../src/store/store.ts'
import { median } from '../checks.ts'

const BATCH = 50_000
const USERS = 1_000

const FLAGS: Readonly<Record<string, FlagInput>> = {
  'plain-boolean': { enabled: true, defaultVariant: 'on' },
  percentage: {
    enabled: true,
    defaultVariant: 'off',
    rules: [{ split: [{ variant: 'on', percentage: 30 }] }],
  },
  'ten-rules': {
    enabled: true,
    defaultVariant: 'off',
    rules: [
      ...Array.from({ length: 9 }, (_, index) => ({
        attributes: { plan: [`plan-${index}`], country: ['de', 'fr'] },
        targetingKeys: [`nobody-${index}`],
        variant: 'on',
      })),
      { split: [{ variant: 'on', percentage: 50 }] },
    ],
  },
}

/** Nanoseconds of one evaluation, the middle one of all batches, by the name of the flag. */
export async function measureEvaluation(
  store: Store,
  tenantId: string,
  batches: number,
): Promise<Readonly<Record<string, number>>> {
  await store.transaction({ tenantId }, async (unit) => {
    for (const [key, flag] of Object.entries(FLAGS)) await unit.flags.create(key, flag, { actor: 'bench' })
  })
  await store.flags.refresh(tenantId)
  const contexts = Array.from({ length: USERS }, (_, index): FlagContext => ({
    targetingKey: `5f0c2b1e-8f7d-4d6c-9a3b-0000000${String(index).padStart(5, '0')}`,
    plan: 'team',
    country: 'at',
  }))
  const costs: Record<string, number> = {}
  for (const key of Object.keys(FLAGS)) {
    const times: number[] = []
    for (let batch = 0; batch < batches; batch++) {
      let on = 0
      const startedAt = process.hrtime.bigint()
      for (let index = 0; index < BATCH; index++)
        if (store.flags.evaluate(tenantId, key, contexts[index % USERS]!).value === true) on++
      times.push(Number(process.hrtime.bigint() - startedAt) / BATCH)
      if (key === 'percentage' && (on < 0.2 * BATCH || on > 0.4 * BATCH))
        throw new Error(`Of ${BATCH} evaluations ${on} came out as on, of 30 %.`)
    }
    costs[key] = median(times)
  }
  return costs
}

/** Nanoseconds of one evaluation through the standard SDK, hooks and promises included. */
export async function measureSdk(store: Store, tenantId: string, batches: number): Promise<number> {
  await OpenFeature.setProviderAndWait(NomalyProvider.onStore(store, tenantId))
  const client = OpenFeature.getClient()
  const times: number[] = []
  for (let batch = 0; batch < batches; batch++) {
    const startedAt = process.hrtime.bigint()
    for (let index = 0; index < 5_000; index++)
      await client.getBooleanValue('percentage', false, { targetingKey: `user-${index}` })
    times.push(Number(process.hrtime.bigint() - startedAt) / 5_000)
  }
  await OpenFeature.close()
  return median(times)
}
