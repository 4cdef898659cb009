import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import Fastify from 'fastify'
import pg from 'pg'
import { describe, expect, it, test } from 'vitest'
import { idempotently } from '../../src/api/plugins/idempotency.ts'
import { registerReadAfter } from '../../src/api/plugins/positions.ts'
import { registerProblemDetails } from '../../src/api/plugins/problem-details.ts'
import { hashOf, type RepeatKey, seal, unseal } from '../../src/limits/sealed-answer.ts'
import { startTestNomaly } from '../support/nomaly.ts'

const key: RepeatKey = { tenantId: 't', principal: 'key:1', key: 'k', credential: 'nomaly_secret' }
const fingerprint = randomBytes(32)

describe('a sealed answer', () => {
  it('is what it was for who has the keys, and for nobody else', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const sealed = seal(key, fingerprint, text)
        expect(unseal(key, fingerprint, sealed)).toBe(Buffer.from(text).toString())
        for (const other of [
          { ...key, key: 'l' },
          { ...key, credential: 'nomaly_other' },
          { ...key, principal: 'key:2' },
          { ...key, tenantId: 'u' },
          // Where one ends and the other begins is no matter of taste.
          { ...key, key: 'kn', credential: 'omaly_secret' },
        ])
          expect(() => unseal(other, fingerprint, sealed)).toThrow()
        expect(() => unseal(key, randomBytes(32), sealed)).toThrow()
        const spoilt = Buffer.from(sealed)
        spoilt[spoilt.length - 1]! ^= 1
        expect(() => unseal(key, fingerprint, spoilt)).toThrow()
      }),
      { numRuns: 20 },
    )
  })

  it('is another one each time, and found by what does not open it', () => {
    expect(seal(key, fingerprint, 'a')).not.toEqual(seal(key, fingerprint, 'a'))
    expect(hashOf(key)).toEqual(hashOf({ ...key, credential: 'nomaly_other' }))
    const others = [
      { ...key, key: 'l' },
      { ...key, principal: 'key:2' },
      { ...key, tenantId: 'u' },
    ]
    for (const other of others) expect(hashOf(other)).not.toEqual(hashOf(key))
  })
})

test('of an answer that is too large to be kept it is kept that it was done', async () => {
  await using nomaly = await startTestNomaly({ worker: false })
  const identity = await nomaly.store.identities.byApiKey(nomaly.tenant.key)
  const app = Fastify()
  registerProblemDetails(app)
  registerReadAfter(app, { readLagMs: 0 })
  app.decorateRequest('identity', undefined)
  app.addHook('onRequest', async (request) => {
    request.identity = identity
  })
  let done = 0
  app.post<{ Params: { length: string } }>('/made/:length', (request, reply) =>
    idempotently(nomaly.store, request, reply.code(201), async () => {
      done += 1
      return { text: 'x'.repeat(Number(request.params.length)) }
    }),
  )
  const ask = async (length: number): Promise<number[]> => {
    const request = {
      method: 'POST',
      url: `/made/${length}`,
      headers: { 'idempotency-key': `of-${length}` },
    } as const
    return [(await app.inject(request)).statusCode, (await app.inject(request)).statusCode]
  }
  expect(await ask(131_000)).toEqual([201, 201])
  expect(await ask(132_000)).toEqual([201, 409])
  expect(done).toBe(2)
  const admin = new pg.Client({ connectionString: nomaly.database.adminUrl })
  await admin.connect()
  const { rows } = await admin.query(
    'select body is null as is_left from nomaly.idempotency_keys order by created_at',
  )
  expect(rows).toEqual([{ is_left: false }, { is_left: true }])
  await admin.end()
  await app.close()
})
