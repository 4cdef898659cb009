import swagger from '@fastify/swagger'
import Fastify, { type FastifyInstance } from 'fastify'
import type { Api } from '../api.ts'
import { Problem } from '../schemas/shared.ts'

/** The OpenAPI 3.1 document at `/openapi.json`, and a page to read it at `/docs`. */
export async function registerOpenApi(app: Api, version: string): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Nomaly',
        version,
        description: 'Anomaly detection for metrics. Every error is a problem document (RFC 9457).',
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      components: {
        securitySchemes: { apiKey: { type: 'http', scheme: 'bearer', description: 'An API key' } },
      },
      security: [{ apiKey: [] }],
    },
    refResolver: {
      buildLocalReference: (schema, _base, _fragment, index) => String(schema.$id ?? `schema-${index}`),
    },
  })
  app.addSchema(Problem)
  app.get('/openapi.json', { config: { permission: 'public' }, schema: { hide: true } }, async () =>
    app.swagger(),
  )
  await app.register(async (scope) => {
    // The reference brings a script in its page; nothing else may.
    scope.addHook('onSend', async (_request, reply) => {
      void reply.header(
        'content-security-policy',
        "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; frame-ancestors 'none'; object-src 'none'; base-uri 'none'",
      )
    })
    let reference: Promise<FastifyInstance> | undefined
    for (const path of ['/docs', '/docs/', '/docs/js/scalar.js'])
      scope.get(
        path,
        { config: { permission: 'public' }, schema: { hide: true } },
        async (request, reply) => {
          reference ??= openReference()
          const { headers, url } = request
          const answer = await (await reference).inject({ method: 'GET', url, headers })
          for (const name of PASSED_HEADERS) {
            const value = answer.headers[name]
            if (value !== undefined) void reply.header(name, value)
          }
          return reply.code(answer.statusCode).send(answer.rawPayload)
        },
      )
    scope.addHook('onClose', async () => (await reference)?.close())
  })
}

const PASSED_HEADERS = ['content-type', 'location', 'etag', 'cache-control']

/** The page and its script, some 30 MB when it is loaded: only once somebody wants to read it. */
async function openReference(): Promise<FastifyInstance> {
  const { default: reference } = await import('@scalar/fastify-api-reference')
  const inner = Fastify()
  await inner.register(reference, {
    routePrefix: '/docs',
    configuration: {
      url: '/openapi.json',
      withDefaultFonts: false,
      telemetry: false,
      hideClientButton: true,
    },
  } as never)
  await inner.ready()
  return inner
}
