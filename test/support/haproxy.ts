import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { startNetworkProgram } from './network-program.ts'
import { freePort } from './redis.ts'

/** A server behind the balancer, and whether it takes writes now: what Patroni answers in production. */
export interface BalancedServer {
  readonly url: string
  readonly isPrimary: () => Promise<boolean>
}

/**
 * A HAProxy in front of several servers that leads to the one which says that it is the primary, with the settings of production; until the
 * test ends.
 * @returns the database of `url` by way of it.
 */
export async function startHaproxy(url: string, servers: readonly BalancedServer[]): Promise<string> {
  const port = await freePort()
  const checks = await Promise.all(servers.map(answerChecks))
  const lines = servers.map((server, index) => {
    const { hostname, port: own } = new URL(server.url)
    return `  server s${index} ${hostname}:${own} check port ${checks[index]!}`
  })
  await startNetworkProgram({
    name: 'haproxy',
    variable: 'TEST_HAPROXY',
    port,
    files: () => ({
      'haproxy.cfg': `defaults
  mode tcp
  timeout connect 2s
  timeout client 30m
  timeout server 30m
listen primary
  bind 127.0.0.1:${port}
  option httpchk
  http-check expect status 200
  default-server inter 200ms fall 1 rise 1 on-marked-down shutdown-sessions
${lines.join('\n')}
`,
    }),
    args: (folder) => ['-db', '-f', join(folder, 'haproxy.cfg')],
  })
  const through = new URL(url)
  through.hostname = '127.0.0.1'
  through.port = String(port)
  return through.href
}

async function answerChecks({ isPrimary }: BalancedServer): Promise<number> {
  const server = createServer((_request, response) => {
    isPrimary().then(
      (yes) => response.writeHead(yes ? 200 : 503).end(),
      () => response.writeHead(503).end(),
    )
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return (server.address() as AddressInfo).port
}
