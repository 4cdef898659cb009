import { createHmac, randomBytes } from 'node:crypto'
import { lookup } from 'node:dns/promises'
import { BlockList, isIP } from 'node:net'
import { invalidField, NomalyError } from '../errors.ts'

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
export function signWebhook(webhook: Webhook, id: string, timestampSeconds: number, body: string): Record<string, string> {
  const key = Buffer.from(webhook.secret.replace(/^whsec_/, ''), 'base64')
  const signature = createHmac('sha256', key).update(`${id}.${timestampSeconds}.${body}`).digest('base64')
  return {
    'webhook-id': id,
    'webhook-timestamp': String(timestampSeconds),
    'webhook-signature': `v1,${signature}`,
  }
}

export interface DeliveryOptions {
  readonly privateAddresses: 'allow' | 'refuse'
  readonly signal?: AbortSignal | undefined
  readonly nowMs: number
}

/**
 * Calls a webhook once, within ten seconds.
 * @throws NomalyError `unavailable` where the receiver did not answer with a 2xx status.
 */
export async function deliverWebhook(
  webhook: Webhook,
  id: string,
  payload: object,
  options: DeliveryOptions,
): Promise<void> {
  await refuseForbiddenAddress(new URL(webhook.url).hostname, options.privateAddresses)
  const body = JSON.stringify(payload)
  const timeout = AbortSignal.timeout(10_000)
  let response: Response
  try {
    response = await fetch(webhook.url, {
      method: 'POST',
      body,
      // A redirect could lead to an address that was not checked.
      redirect: 'error',
      headers: {
        'content-type': 'application/json',
        'user-agent': 'nomaly',
        ...signWebhook(webhook, id, Math.floor(options.nowMs / 1000), body),
      },
      signal: options.signal === undefined ? timeout : AbortSignal.any([options.signal, timeout]),
    })
  } catch (error) {
    const reason = error instanceof Error && error.cause instanceof Error ? error.cause.message : (error as Error).message
    throw new NomalyError('unavailable', `The webhook could not be called: ${reason}.`, {
      hint: 'Check that the receiver is up and that its address is right.',
      cause: error,
    })
  }
  await response.body?.cancel()
  if (!response.ok)
    throw new NomalyError('unavailable', `The webhook answered with status ${response.status}.`, {
      hint: 'A 2xx status is expected within ten seconds.',
    })
}

/** Cloud machines answer with their credentials on link-local addresses: never called, whatever the settings. */
const LINK_LOCAL = new BlockList()
LINK_LOCAL.addSubnet('169.254.0.0', 16, 'ipv4')
LINK_LOCAL.addSubnet('fe80::', 10, 'ipv6')
LINK_LOCAL.addAddress('fd00:ec2::254', 'ipv6')

const PRIVATE = new BlockList()
PRIVATE.addSubnet('0.0.0.0', 8, 'ipv4')
PRIVATE.addSubnet('10.0.0.0', 8, 'ipv4')
PRIVATE.addSubnet('100.64.0.0', 10, 'ipv4')
PRIVATE.addSubnet('127.0.0.0', 8, 'ipv4')
PRIVATE.addSubnet('172.16.0.0', 12, 'ipv4')
PRIVATE.addSubnet('192.168.0.0', 16, 'ipv4')
PRIVATE.addAddress('::', 'ipv6')
PRIVATE.addAddress('::1', 'ipv6')
PRIVATE.addSubnet('fc00::', 7, 'ipv6')

async function refuseForbiddenAddress(hostname: string, privateAddresses: 'allow' | 'refuse'): Promise<void> {
  const host = hostname.replace(/^\[|\]$/g, '')
  let addresses: { address: string }[]
  try {
    addresses = isIP(host) > 0 ? [{ address: host }] : await lookup(host, { all: true })
  } catch (error) {
    throw new NomalyError('unavailable', `The webhook's host ${host} is not known to the name service.`, {
      hint: 'Check the spelling of the URL.',
      cause: error,
    })
  }
  for (const { address } of addresses) {
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4'
    const isPrivate = PRIVATE.check(address, family)
    if (LINK_LOCAL.check(address, family) || (isPrivate && privateAddresses === 'refuse'))
      throw new NomalyError('forbidden', `The webhook's host ${host} has the address ${address}, which is not called.`, {
        hint: isPrivate ? 'Set NOMALY_WEBHOOK_PRIVATE_ADDRESSES=allow to permit it.' : 'Link-local addresses are never called.',
      })
  }
}
