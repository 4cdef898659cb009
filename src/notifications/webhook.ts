import { createHmac, randomBytes } from 'node:crypto'
import { invalidField } from '../errors.ts'

/** Under which name a tenant's webhook is kept among its settings. */
export const WEBHOOK_SETTING = 'webhook'

/** Where a tenant wants to be told of findings. */
export interface Webhook {
  readonly url: string
  /** Signs every call; shown once. */
  readonly secret: string
}

/** Reads the stored document back; `undefined` where there is none. */
export function parseWebhook(value: unknown): Webhook | undefined {
  const { url, secret } = (value ?? {}) as Partial<Webhook>
  return typeof url === 'string' && typeof secret === 'string' ? { url, secret } : undefined
}

/** A new webhook with a secret of its own. @throws NomalyError `invalid_input` naming what is wrong with the URL. */
export function createWebhook(url: string): Webhook {
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  if (parsed === undefined || !['http:', 'https:'].includes(parsed.protocol))
    throw invalidField('url', 'must be an http or https URL')
  if (parsed.username !== '' || parsed.password !== '')
    throw invalidField('url', 'must not carry a user or a password', 'The calls are signed; see the secret.')
  return { url: parsed.href, secret: `whsec_${randomBytes(32).toString('base64')}` }
}

/**
 * The headers of a signed call, after the Standard Webhooks specification 1.0: HMAC-SHA256 over `id.timestamp.body`.
 * @param id the same for every attempt, so that receivers can leave out repetitions.
 */
export function signWebhook(
  webhook: Webhook,
  id: string,
  timestampSeconds: number,
  body: string,
): Record<string, string> {
  const key = Buffer.from(webhook.secret.replace(/^whsec_/, ''), 'base64')
  const signature = createHmac('sha256', key).update(`${id}.${timestampSeconds}.${body}`).digest('base64')
  return {
    'webhook-id': id,
    'webhook-timestamp': String(timestampSeconds),
    'webhook-signature': `v1,${signature}`,
  }
}
