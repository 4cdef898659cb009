import type { FastifyReply } from 'fastify'
import { Type } from 'typebox'
import type { FlagChange } from '../../flags/flag.ts'
import type { Flag } from '../../flags/flag-repository.ts'
import { NomalyError } from '../../errors.ts'
import type { Position } from '../../database/position.ts'
import type { Store } from '../../store/store.ts'
import type { Api } from '../api.ts'
import { identityOf } from '../plugins/authentication.ts'
import { idempotently } from '../plugins/idempotency.ts'
import { replyPosition, repositoriesOf } from '../plugins/positions.ts'
import {
  FlagBody,
  FlagChangeBody,
  FlagParams,
  FlagVersionBody,
  IfMatch,
  NewFlagBody,
  Note,
  presentFlag,
  presentVersion,
} from '../schemas/flags.ts'
import { PageQuery, pageOf, pageRequest, problems } from '../schemas/shared.ts'

const tags = ['flags']

/** The flags of the tenant. Those of the installation are the operator's, and not to be changed here. */
export function registerFlagRoutes(app: Api, store: Store): void {
  app.get(
    '/v1/flags',
    {
      config: { permission: 'read' },
      schema: {
        tags,
        summary: 'List the flags of the tenant by key',
        querystring: Type.Object(PageQuery),
        response: { 200: pageOf(FlagBody), ...problems },
      },
    },
    async (request) => {
      const { items, nextCursor } = await repositoriesOf(request, store).flags.list(
        pageRequest(request.query),
      )
      return { items: items.map(presentFlag), nextCursor }
    },
  )

  app.post(
    '/v1/flags',
    {
      config: { permission: 'administer' },
      schema: {
        tags,
        summary: 'Make a flag',
        description: 'Off unless said otherwise; a boolean one has the variants `on` and `off`.',
        body: NewFlagBody,
        response: { 201: FlagBody, ...problems },
      },
    },
    async (request, reply) => {
      const { scope, actor } = identityOf(request)
      const { key, note, ...input } = request.body
      const flag = await idempotently(store, request, reply.code(201), async (unit) =>
        presentFlag(await unit.flags.create(key, input as FlagChange, { actor, note })),
      )
      await store.flags.announce(scope.tenantId)
      void reply.header('etag', etagOf(flag))
      return flag
    },
  )

  app.get(
    '/v1/flags/:key',
    {
      config: { permission: 'read' },
      schema: { tags, summary: 'Show a flag', params: FlagParams, response: { 200: FlagBody, ...problems } },
    },
    async (request, reply) => {
      const flag = await repositoriesOf(request, store).flags.get(request.params.key)
      void reply.header('etag', etagOf(flag))
      return presentFlag(flag)
    },
  )

  app.patch(
    '/v1/flags/:key',
    {
      config: { permission: 'administer' },
      schema: {
        tags,
        summary: 'Change a flag',
        description: 'What is left out stays as it is; `rules` and `variants` are replaced as a whole.',
        params: FlagParams,
        headers: IfMatch,
        body: FlagChangeBody,
        response: { 200: FlagBody, ...problems },
      },
    },
    async (request, reply) => {
      const { scope, actor } = identityOf(request)
      const { note, ...change } = request.body
      const ifVersion = readIfMatch(request.headers['if-match'])
      const { value, position } = await store.transaction(scope, (unit) =>
        unit.flags.update(request.params.key, change as FlagChange, { actor, note, ifVersion }),
      )
      await store.flags.announce(scope.tenantId)
      return answerFlag(reply, value, position)
    },
  )

  app.delete(
    '/v1/flags/:key',
    {
      config: { permission: 'administer' },
      schema: {
        tags,
        summary: 'Remove a flag; its history stays, and it can be taken back',
        params: FlagParams,
        headers: IfMatch,
        querystring: Type.Object({ note: Note }),
        response: { 204: Type.Null(), ...problems },
      },
    },
    async (request, reply) => {
      const { scope, actor } = identityOf(request)
      const ifVersion = readIfMatch(request.headers['if-match'])
      const { note } = request.query
      const { position } = await store.transaction(scope, (unit) =>
        unit.flags.remove(request.params.key, { actor, note, ifVersion }),
      )
      await store.flags.announce(scope.tenantId)
      replyPosition(reply, position)
      return reply.code(204).send(null)
    },
  )

  app.get(
    '/v1/flags/:key/history',
    {
      config: { permission: 'read' },
      schema: {
        tags,
        summary: 'List the versions of a flag, newest first: who changed what, and why',
        params: FlagParams,
        querystring: Type.Object(PageQuery),
        response: { 200: pageOf(FlagVersionBody), ...problems },
      },
    },
    async (request) => {
      const { items, nextCursor } = await repositoriesOf(request, store).flags.history(
        request.params.key,
        pageRequest(request.query),
      )
      return { items: items.map(presentVersion), nextCursor }
    },
  )

  app.post(
    '/v1/flags/:key/revert',
    {
      config: { permission: 'administer' },
      schema: {
        tags,
        summary: 'Take a former version of a flag again, as a new version; also of one that was removed',
        params: FlagParams,
        headers: IfMatch,
        body: Type.Object(
          { version: Type.Integer({ minimum: 1, maximum: 2_147_483_647 }), note: Note },
          { additionalProperties: false },
        ),
        response: { 200: FlagBody, ...problems },
      },
    },
    async (request, reply) => {
      const { scope, actor } = identityOf(request)
      const { version, note } = request.body
      const ifVersion = readIfMatch(request.headers['if-match'])
      const flag = await idempotently(store, request, reply, async (unit) =>
        presentFlag(await unit.flags.revert(request.params.key, version, { actor, note, ifVersion })),
      )
      await store.flags.announce(scope.tenantId)
      void reply.header('etag', etagOf(flag))
      return flag
    },
  )
}

function answerFlag(reply: FastifyReply, flag: Flag, position: Position): Type.Static<typeof FlagBody> {
  replyPosition(reply, position)
  void reply.header('etag', etagOf(flag))
  return presentFlag(flag)
}

function etagOf({ version }: Pick<Flag, 'version'>): string {
  return `"${version}"`
}

/** The version that If-Match names (RFC 9110, 13.1.1); `undefined` where any will do. */
function readIfMatch(header: string | undefined): number | undefined {
  if (header === undefined || header.trim() === '*') return undefined
  const version = /^"(\d{1,9})"$/.exec(header.trim())?.[1]
  if (version !== undefined) return Number(version)
  throw new NomalyError('precondition_failed', 'If-Match names no version that a flag has had.', {
    hint: 'Send the ETag of the flag as it was read, such as "3" in quotes.',
  })
}
