import { request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { isIP } from 'node:net'
import { NomalyError } from '../errors.ts'
import { ForbiddenAddress, guardedLookup, isForbidden, type PrivateAddresses } from './address-guard.ts'
import { signWebhook, type Webhook } from './webhook.ts'

export interface DeliveryOptions {
  readonly privateAddresses: PrivateAddresses
  readonly signal?: AbortSignal | undefined
  readonly nowMs: number
}

const TIMEOUT_MS = 10_000

/**
 * Calls a webhook once, within ten seconds; redirects are not followed.
 * @param id the same for every attempt.
 * @throws NomalyError `unavailable` where the receiver did not answer with a 2xx status, `forbidden` for an address that is not called.
 */
export async function deliverWebhook(
  webhook: Webhook,
  id: string,
  payload: object,
  options: DeliveryOptions,
): Promise<void> {
  const body = JSON.stringify(payload)
  const headers = {
    'content-type': 'application/json',
    'content-length': String(Buffer.byteLength(body)),
    'user-agent': 'nomaly',
    ...signWebhook(webhook, id, Math.floor(options.nowMs / 1000), body),
  }
  const status = await post(new URL(webhook.url), headers, body, options)
  if (status < 200 || status > 299)
    throw new NomalyError('unavailable', `The webhook answered with status ${status}.`, {
      hint: 'A 2xx status is expected within ten seconds.',
    })
}

async function post(
  url: URL,
  headers: Record<string, string>,
  body: string,
  options: DeliveryOptions,
): Promise<number> {
  const host = url.hostname.replace(/^\[|\]$/g, '')
  // A name is looked up by the connection itself, an address never is.
  if (isIP(host) > 0 && isForbidden(host, options.privateAddresses)) throw notCalled()
  const timeout = AbortSignal.timeout(TIMEOUT_MS)
  const signal = options.signal === undefined ? timeout : AbortSignal.any([options.signal, timeout])
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  const send = url.protocol === 'https:' ? requestHttps : requestHttp
  const request = send(url, {
    method: 'POST',
    headers,
    signal,
    lookup: guardedLookup(options.privateAddresses),
    agent: false,
  })
  request.on('response', (response) => {
    response.resume()
    resolve(response.statusCode ?? 0)
    // What a receiver has to say beyond its status is not waited for.
    response.destroy()
  })
  request.on('error', reject)
  request.end(body)
  try {
    return await promise
  } catch (error) {
    if (error instanceof ForbiddenAddress) throw notCalled()
    throw new NomalyError('unavailable', `The webhook could not be called (${reasonOf(error)}).`, {
      hint: 'Check that the receiver is up and that its address is right.',
      cause: error,
    })
  }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown'
  return error.name === 'AbortError' || error.name === 'TimeoutError'
    ? 'no answer within ten seconds'
    : ((error as NodeJS.ErrnoException).code ?? error.message)
}

function notCalled(): NomalyError {
  return new NomalyError('forbidden', 'The address of the webhook is not called.', {
    hint: 'Link-local and reserved addresses never are; private ones where NOMALY_WEBHOOK_PRIVATE_ADDRESSES=allow.',
  })
}
