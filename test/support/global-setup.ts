import { randomBytes } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'

import { Client } from 'pg'
import type { TestProject } from 'vitest/node'

import { redisProgramsFolder } from './redis-programs.ts'
import { startTestServer, type TestServer } from './test-server.ts'

declare module 'vitest' {
  export interface ProvidedContext {
    /** Where a test asks for the address of the run's PostgreSQL, which is started by the first who asks. */
    postgresBroker: string
    /** Part of the name of every database of this run. */
    postgresRun: string
  }
}

/** One PostgreSQL for the whole run, started when the first test wants a database; `TEST_DATABASE_URL` is used instead of it. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const run = randomBytes(4).toString('hex')
  const external = process.env['TEST_DATABASE_URL']
  let server: Promise<TestServer> | undefined
  const broker = createServer((_request, response) => {
    server ??= external === undefined ? startTestServer() : undefined
    Promise.resolve(external ?? server!.then(({ adminUrl }) => adminUrl)).then(
      (url) => response.end(url),
      (error: Error) => response.writeHead(500).end(error.message),
    )
  })
  await listen(broker)
  project.provide('postgresBroker', `http://127.0.0.1:${(broker.address() as AddressInfo).port}`)
  project.provide('postgresRun', run)
  return async () => {
    broker.closeAllConnections()
    await new Promise((resolve) => broker.close(resolve))
    if (external !== undefined) await dropDatabases(external, run)
    await (await server)?.stop()
    await rm(redisProgramsFolder(run), { recursive: true, force: true })
  }
}

async function listen(broker: Server): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    broker.once('error', reject)
    broker.listen(0, '127.0.0.1', resolve)
  })
}

async function dropDatabases(url: string, run: string): Promise<void> {
  const client = new Client({ connectionString: url })
  await client.connect()
  try {
    const { rows } = await client.query<{ name: string }>(
      `select datname as name from pg_database where datname like $1`,
      [`nomaly_test_${run}_%`],
    )
    for (const { name } of rows) await client.query(`drop database if exists "${name}" with (force)`)
  } finally {
    await client.end()
  }
}
