import { Client } from 'pg'
import { expect, test } from 'vitest'

import { createTestDatabase, findServer } from './postgres.ts'

async function ask<Row>(url: string, text: string): Promise<Row[]> {
  const client = new Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query(text)).rows as Row[]
  } finally {
    await client.end()
  }
}

test('a template is prepared once and cloned for each database', async () => {
  let prepared = 0
  const prepare = {
    key: 'one table',
    async run(url: string) {
      prepared++
      await ask(url, 'create table things as select 42 as answer')
    },
  }
  await using first = await createTestDatabase({ prepare })
  await using second = await createTestDatabase({ prepare })
  const both = await Promise.all(Array.from({ length: 4 }, () => createTestDatabase({ prepare })))
  await ask(first.adminUrl, 'update things set answer = 1')
  expect(await ask(second.adminUrl, 'select answer from things')).toEqual([{ answer: 42 }])
  expect(prepared).toBe(1)
  await Promise.all(both.map((database) => database.drop()))
})

test('a preparation that fails leaves no template behind, and the next one succeeds', async () => {
  let fail = true
  const prepare = {
    key: 'fails at first',
    async run(url: string) {
      await ask(url, 'create table things (answer integer)')
      if (fail) throw new Error('not today')
    },
  }
  await expect(createTestDatabase({ prepare })).rejects.toThrow('not today')
  fail = false
  await using database = await createTestDatabase({ prepare })
  expect(await ask(database.adminUrl, 'select * from things')).toEqual([])
})

test('a dropped database is gone, even with somebody connected', async () => {
  const database = await createTestDatabase()
  const client = new Client({ connectionString: database.adminUrl })
  client.on('error', () => {})
  await client.connect()
  await database.drop()
  const left = await ask(await findServer(), `select from pg_database where datname = '${database.name}'`)
  expect(left).toEqual([])
  await client.end().catch(() => {})
})
