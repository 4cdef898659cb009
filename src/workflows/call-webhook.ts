import type { TenantScope } from '../access/tenant-scope.ts'
import { presentAnomaly } from '../anomalies/present-anomaly.ts'
import { NomalyError } from '../errors.ts'
import { deliverWebhook } from '../notifications/deliver-webhook.ts'
import { parseWebhook, WEBHOOK_SETTING } from '../notifications/webhook.ts'
import type { Store } from '../store/store.ts'

export interface CallWebhookOptions {
  readonly store: Store
  readonly scope: TenantScope
  readonly anomalyId: string
  /** The same for every attempt. */
  readonly deliveryId: string
  readonly privateAddresses: 'allow' | 'refuse'
  readonly signal: AbortSignal
}

/** Tells a tenant's webhook of a finding. A webhook or a finding that is gone meanwhile is no failure. */
export async function callWebhook(options: CallWebhookOptions): Promise<void> {
  const repositories = options.store.read(options.scope, 'latest', options.signal)
  const webhook = parseWebhook(await repositories.settings.get(WEBHOOK_SETTING))
  if (webhook === undefined) return
  try {
    const anomaly = await repositories.anomalies.get(options.anomalyId)
    const payload = {
      type: 'anomaly.opened',
      timestamp: anomaly.createdAt.toISOString(),
      data: presentAnomaly(anomaly),
    }
    await deliverWebhook(webhook, `event_${options.deliveryId}`, payload, {
      privateAddresses: options.privateAddresses,
      signal: options.signal,
      nowMs: Date.now(),
    })
  } catch (error) {
    if (error instanceof NomalyError && error.code === 'not_found') return
    throw error
  }
}
