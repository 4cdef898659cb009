import { once } from 'node:events'
import { from as copyFrom, to as copyTo } from 'pg-copy-streams'
import type { Connection } from '../database/connection.ts'

/** Sends bytes that are a whole binary COPY; a refusal by the server leaves the transaction failed, the connection usable. */
export async function copyIn(connection: Connection, statement: string, bytes: Buffer): Promise<void> {
  const stream = connection.client.query(copyFrom(statement))
  // Kept to the end: the driver reports a lost connection without ending the stream, which may then complain once more.
  let hasFailed = false
  stream.on('error', () => (hasFailed = true))
  const finished = once(stream, 'finish')
  // Reported by `finished`, awaited below; the write may fail first and must not leave it unhandled.
  finished.catch(() => {})
  // `end` comes only after `write` was taken: the stream has no connection any more once the server has refused.
  await Promise.race([
    finished,
    new Promise<void>((resolve, reject) =>
      stream.write(bytes, (error) => (error ? reject(error) : resolve())),
    ),
  ])
  if (!hasFailed) stream.end()
  await finished
}

/** Receives what a COPY … TO STDOUT sends, all of it at once. */
export async function copyOut(connection: Connection, statement: string): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of connection.client.query(copyTo(statement))) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}
