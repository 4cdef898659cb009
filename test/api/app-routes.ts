import { buildApp } from '../../src/api/app.ts'
import { createLogger } from '../../src/telemetry/logger.ts'
import { createProcessMetrics } from '../../src/telemetry/process-metrics.ts'
import { testConfig, type TestNomaly } from '../support/nomaly.ts'

/** One way to call the application, as its router knows it. */
export interface AppRoute {
  readonly method: string
  /** With parameters as `:name`. */
  readonly path: string
  /** Of the OpenAPI document; `undefined` for routes that it hides. */
  readonly operation: Operation | undefined
}

/** The parts of an OpenAPI operation that tests use. */
export interface Operation {
  readonly summary?: string
  readonly parameters?: readonly {
    readonly name: string
    readonly in: 'path' | 'query' | 'header'
    readonly schema: JsonSchema
    readonly required?: boolean
  }[]
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: JsonSchema }>> }
  readonly responses: Readonly<Record<string, unknown>>
}

export type JsonSchema = Readonly<Record<string, unknown>>

/** Every route of the application, asked from the router itself, so that a new one cannot be missed. HEAD goes with GET. */
export async function listAppRoutes(nomaly: TestNomaly): Promise<AppRoute[]> {
  await using app = await openApp(nomaly)
  const { body: document } = await nomaly.request('GET', '/openapi.json')
  const paths = document.paths as Record<string, Record<string, Operation>>
  const routes: AppRoute[] = []
  for (const { path, methods } of parseTree(app.printRoutes({ commonPrefix: false })))
    for (const method of methods)
      if (method !== 'HEAD')
        routes.push({
          method,
          path,
          operation: paths[path.replaceAll(/:(\w+)/g, '{$1}')]?.[method.toLowerCase()],
        })
  return routes
}

async function openApp(nomaly: TestNomaly): Promise<Awaited<ReturnType<typeof buildApp>>> {
  return buildApp({
    store: nomaly.store,
    config: testConfig(),
    logger: createLogger('fatal'),
    metrics: createProcessMetrics(nomaly.store),
    version: '0.0.0-test',
    allowedHosts: () => undefined,
    // Every file of a built dashboard would be a route of its own.
    dashboardDirectory: '/does-not-exist',
  })
}

/** The router prints a tree: each line adds its text to that of the line it hangs from. */
function parseTree(tree: string): { path: string; methods: string[] }[] {
  const prefixes: string[] = []
  return tree.split('\n').flatMap((line) => {
    const match = /^(.*?)[├└]── (\S+)(?: \(([A-Z, ]+)\))?/.exec(line)
    if (match === null) return []
    const [, indent = '', part = '', methods = ''] = match
    const depth = indent.length / 4
    prefixes.length = depth
    prefixes.push(part)
    if (methods === '') return []
    return [{ path: prefixes.join('').replace(/^\*/, '/*'), methods: methods.split(', ') }]
  })
}
