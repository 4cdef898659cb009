import { join } from 'node:path'
import { startNetworkProgram } from './network-program.ts'
import { freePort } from './redis.ts'

/**
 * A PgBouncer that lends its servers by the transaction, in front of the server of a URL; until the test ends.
 * @returns the same database by way of it.
 */
export async function startPgBouncer(databaseUrl: string, servers: number): Promise<string> {
  const url = new URL(databaseUrl)
  const port = await freePort()
  await startNetworkProgram({
    name: 'pgbouncer',
    variable: 'TEST_PGBOUNCER',
    port,
    files: (folder) => ({
      'users.txt': `"${url.username}" "${decodeURIComponent(url.password)}"\n`,
      'pgbouncer.ini': `[databases]
* = host=${url.hostname} port=${url.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = ${join(folder, 'users.txt')}
admin_users = ${url.username}
pool_mode = transaction
default_pool_size = ${servers}
`,
    }),
    // It does not run as root.
    args: (folder) => [...(process.getuid?.() === 0 ? ['-u', 'nobody'] : []), join(folder, 'pgbouncer.ini')],
  })
  url.hostname = '127.0.0.1'
  url.port = String(port)
  return url.href
}
