import pg from 'pg'
import type { CopyStreamQuery } from 'pg-copy-streams'
import { expect, test } from 'vitest'
import { Connection } from '../../src/database/connection.ts'
import { copyIn } from '../../src/metrics/copy-transfer.ts'
import { createTestDatabase } from '../support/postgres.ts'

const EMPTY = Buffer.concat([
  Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1'),
  Buffer.alloc(8),
  Buffer.from([0xff, 0xff]),
])

test('a connection that is lost in the very moment in which the last bytes are taken fails the copy, and nothing else', async () => {
  await using database = await createTestDatabase()
  const pool = new pg.Pool({ connectionString: database.adminUrl, max: 1 })
  pool.on('error', () => {})
  const client = await pool.connect()
  client.on('error', () => {})
  await client.query('create temporary table landing (value int4)')
  // As the driver does: it tells whoever asks last of the loss, and the stream may have taken its bytes in the same breath.
  const losing = new Proxy(client, {
    get: (target, name) => {
      if (name !== 'query') {
        const value: unknown = Reflect.get(target, name)
        return typeof value === 'function' ? value.bind(target) : value
      }
      return (stream: CopyStreamQuery & { handleError(error: Error): void }) => {
        target.query(stream)
        const write = stream.write.bind(stream) as (
          bytes: Buffer,
          done: (error?: Error | null) => void,
        ) => boolean
        stream.write = ((bytes: Buffer, done: (error?: Error | null) => void) =>
          write(bytes, (error) => {
            done(error)
            stream.handleError(new Error('Connection terminated unexpectedly'))
          })) as typeof stream.write
        return stream
      }
    },
  })
  await expect(
    copyIn(new Connection(losing), 'copy landing from stdin (format binary)', EMPTY),
  ).rejects.toThrow('Connection terminated')
  // What the stream has to complain about later comes in a turn of its own, and ends the process where nobody listens.
  await new Promise((resolve) => setImmediate(resolve))
  client.release(true)
  await pool.end()
})
