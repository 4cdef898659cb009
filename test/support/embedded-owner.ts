/**
 * A process of its own that owns a server, for tests that kill it: `embedded-owner.ts FOLDER PORT`. Writes a line of JSON when
 * the server runs or could not start, and ends the server in order when its input closes.
 */
import { startEmbeddedServer } from '../../src/database/embedded-server.ts'
import { NomalyError } from '../../src/errors.ts'

const [folder, port] = process.argv.slice(2)
const said: string[] = []
try {
  const server = await startEmbeddedServer({
    dataDirectory: folder!,
    preferredPort: Number(port),
    log: (message) => said.push(message),
  })
  console.log(
    JSON.stringify({
      adminUrl: server.adminUrl,
      pid: server.pid,
      port: server.port,
      adopted: server.adopted,
      said,
    }),
  )
  process.stdin.resume()
  process.stdin.once('end', () => void server.stop())
} catch (error) {
  const hint = error instanceof NomalyError ? error.hint : undefined
  console.log(JSON.stringify({ error: (error as Error).message, hint }))
}
