import { createHash, randomUUID } from 'node:crypto'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { invalidField, NomalyError } from '../../errors.ts'
import type { KeptAnswer } from '../../limits/idempotency-keys.ts'
import { principalOf } from '../../limits/principal.ts'
import { hashOf, type RepeatKey, seal, unseal } from '../../limits/sealed-answer.ts'
import type { Store } from '../../store/store.ts'
import type { UnitOfWork } from '../../store/unit-of-work.ts'
import { bearerOf, identityOf } from './authentication.ts'
import { replyPosition } from './positions.ts'

/** Routes whose requests do no harm when they are repeated, and why. Every other POST is done under {@link idempotently}. */
export const HARMLESS_POSTS: Readonly<Record<string, string>> = {
  '/v1/datasets/:dataset/points': 'the first value of an instant stays, whoever sends another',
  '/v1/datasets/:dataset/corrections': 'the same values overwrite themselves',
  '/v1/datasets/:dataset/backfills/:backfill/finish': 'what is finished stays finished, with as many parts',
  '/v1/demo': 'the demo that is there is answered',
  '/v1/detect': 'nothing is stored',
  '/v1/estimate': 'nothing is stored',
  '/v1/query': 'nothing is stored',
  '/v1/flags/:key/evaluate': 'nothing is stored',
  '/v1/sign-out': 'who is signed out stays so',
  '/v1/sign-out-everywhere': 'who is signed out stays so',
  '/v1/webhook/test': 'a test message more',
}

const KEY = /^[\x21-\x7e]{1,255}$/
/** Twice the largest flag, which is the largest of what is made. */
const MAX_BODY_BYTES = 131_072
const RETRY_AFTER_SECONDS = 1
/** Of keys under which an answer with a secret is sealed, and nothing else. */
const MIN_SECRET_KEY_LENGTH = 32
const REPLAYED = 'idempotency-replayed'
const KeyHeader = Type.Optional(
  Type.String({
    description:
      '1 to 255 visible ASCII characters, chosen at random by the client: repeated under it a request is answered as before, and not done again',
  }),
)

/** Says in the reference which routes take an `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header). */
export function registerIdempotency(app: FastifyInstance): void {
  app.addHook('onRoute', (route) => {
    if (route.method !== 'POST' || !route.url.startsWith('/v1/') || route.url in HARMLESS_POSTS) return
    const headers = route.schema?.headers as { properties?: Record<string, unknown> } | undefined
    route.schema = {
      ...route.schema,
      headers: Type.Object({ ...headers?.properties, 'idempotency-key': KeyHeader } as never),
    }
  })
}

export interface OnceOptions<P> {
  /**
   * What goes before the transaction, such as what is made in another database; `id` is the same however often the request is repeated under
   * its key, so that it can be made once.
   */
  readonly prepare: (id: string) => Promise<P>
}

/**
 * Does the work of a request in one transaction and answers its body. Under an `Idempotency-Key` it is done once: the answer is kept in the
 * same transaction, so that a crash anywhere leaves both or neither, and answered again where the request is repeated.
 * @throws NomalyError `under_way` while it is being done elsewhere, `key_reused` where the key came with another request.
 */
export async function idempotently<B, P = undefined>(
  store: Store,
  request: FastifyRequest,
  reply: FastifyReply,
  work: (unit: UnitOfWork, prepared: P) => Promise<B>,
  options: { readonly showsSecret?: boolean } & Partial<OnceOptions<P>> = {},
): Promise<B> {
  const { scope } = identityOf(request)
  const repeat = readRepeatKey(request, options.showsSecret === true)
  const prepare = async (id: string): Promise<P> => (await options.prepare?.(id)) as P
  if (repeat === undefined) {
    const prepared = await prepare(randomUUID())
    const { value, position } = await store.transaction(scope, (unit) => work(unit, prepared))
    replyPosition(reply, position)
    return value
  }
  const { principal } = repeat
  const keyHash = hashOf(repeat)
  const fingerprint = fingerprintOf(request)
  const replay = async (kept: KeptAnswer): Promise<B> => {
    const body = readKept(repeat, fingerprint, kept) as B
    // Where it was written is not known any more; what is newer shows it too.
    replyPosition(reply, await store.database.position())
    void reply.code(kept.status).header(REPLAYED, 'true')
    return body
  }
  const before = await store.read(scope, 'latest').idempotencyKeys.find(principal, keyHash)
  if (before !== undefined) return replay(before)
  const prepared = await prepare(uuidOf(keyHash, fingerprint))
  const { value, position } = await store.transaction(scope, async (unit) => {
    const keys = unit.idempotencyKeys
    if (!(await keys.take(keyHash)))
      throw new NomalyError('under_way', 'A request with this Idempotency-Key is being worked on.', {
        hint: 'Send it again in a moment: then it is answered as this one is.',
        retryAfterSeconds: RETRY_AFTER_SECONDS,
      })
    const kept = await keys.find(principal, keyHash)
    if (kept !== undefined) return { kept }
    const body = await work(unit, prepared)
    const sealed = seal(repeat, fingerprint, JSON.stringify(body))
    const answer = {
      fingerprint,
      status: reply.statusCode,
      body: sealed.length > MAX_BODY_BYTES ? undefined : sealed,
    }
    await keys.keep(principal, keyHash, answer, store.liveSettings.values.idempotencyHours)
    return { body }
  })
  if ('kept' in value) return replay(value.kept)
  replyPosition(reply, position)
  return value.body
}

/** @throws NomalyError `invalid_input`. */
function readRepeatKey(request: FastifyRequest, showsSecret: boolean): RepeatKey | undefined {
  const header = request.headers['idempotency-key']
  if (header === undefined) return undefined
  const text = String(header)
  if (!KEY.test(text)) throw invalidField('idempotency-key', 'must be 1 to 255 visible ASCII characters')
  // The draft writes it as a string of structured fields (RFC 9651, 3.3.3), most clients without quotes: both are the same key.
  const key = /^"(.+)"$/.exec(text)?.[1] ?? text
  const identity = identityOf(request)
  const credential = identity.via === 'key' ? (bearerOf(request) ?? '') : ''
  if (showsSecret && credential === '' && key.length < MIN_SECRET_KEY_LENGTH)
    throw invalidField(
      'idempotency-key',
      `must have ${MIN_SECRET_KEY_LENGTH} characters or more here`,
      'The answer shows a secret, and is kept encrypted under it. Take a random UUID.',
    )
  return { tenantId: identity.scope.tenantId, principal: principalOf(identity), key, credential }
}

/** @throws NomalyError `key_reused`; `conflict` where the answer was too large to be kept. */
function readKept(repeat: RepeatKey, fingerprint: Buffer, kept: KeptAnswer): unknown {
  if (!kept.fingerprint.equals(fingerprint))
    throw new NomalyError('key_reused', 'This Idempotency-Key came with another request before.', {
      problems: [{ field: 'idempotency-key', reason: 'was used for something else' }],
      hint: 'Take a new key, such as a random UUID, for each thing to be done.',
    })
  if (kept.body === undefined)
    throw new NomalyError('conflict', 'It was done, and its answer was too large to be kept.', {
      hint: 'Read what it has made or changed.',
    })
  return JSON.parse(unseal(repeat, fingerprint, kept.body)) as unknown
}

/** What a request asks for: SHA-256 of its method, path, condition and body, whatever the order of the body's properties. */
function fingerprintOf({ method, url, headers, body }: FastifyRequest): Buffer {
  const asked = JSON.stringify([method, url, headers['if-match'] ?? null, body ?? null], sortProperties)
  return createHash('sha256').update(asked).digest()
}

function sortProperties(_name: string, value: unknown): unknown {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return value
  return Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)))
}

/** A UUID of its own kind (RFC 9562, version 8) for what a request under this key makes. */
function uuidOf(keyHash: Buffer, fingerprint: Buffer): string {
  const bytes = createHash('sha256').update('id').update(keyHash).update(fingerprint).digest().subarray(0, 16)
  bytes[6] = (bytes[6]! & 0x0f) | 0x80
  bytes[8] = (bytes[8]! & 0x3f) | 0x80
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}
