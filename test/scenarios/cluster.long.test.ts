import { Client } from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'

import { askCluster as ask } from '../operations/cluster/databases.ts'
import { DatabaseCluster } from '../support/cluster.ts'

let cluster: DatabaseCluster
beforeAll(async () => {
  cluster = await DatabaseCluster.start()
  await ask(cluster.adminUrl, 'create table writes (n int primary key)')
}, 180_000)
afterAll(() => cluster?.[Symbol.asyncDispose]())

test('a leader whose replication is cut and that is then killed takes nothing acknowledged with it, and rejoins', async () => {
  const leader = await cluster.leader()
  const acknowledged: number[] = []
  const client = new Client({ connectionString: cluster.adminUrl })
  client.on('error', () => {})
  await client.connect()
  const writing = (async () => {
    for (let n = 1; ; n++) {
      await client.query('insert into writes values ($1)', [n])
      acknowledged.push(n)
    }
  })()
  writing.catch(() => {})
  const enough = async (): Promise<void> => {
    while (acknowledged.length < 200) await new Promise((resolve) => setTimeout(resolve, 5))
  }
  await Promise.race([writing, enough()])
  await leader.cutAndKill()
  await expect(writing).rejects.toThrow()

  const successor = await cluster.leader()
  expect(successor.name).not.toBe(leader.name)
  await cluster.untilWritable()
  const kept = await ask<{ n: number }>(cluster.adminUrl, 'select n from writes order by n')
  expect(acknowledged.filter((n) => !kept.some((row) => row.n === n))).toEqual([])

  leader.link.comeBack()
  await leader.start()
  await cluster.untilWhole()
}, 180_000)

test('a leader that was frozen with its Patroni does not take its place back when it goes on', async () => {
  const leader = await cluster.leader()
  await leader.freeze()
  const successor = await cluster.leader()
  expect(successor.name).not.toBe(leader.name)
  await cluster.untilWritable()
  await ask(cluster.adminUrl, 'create table while_frozen (n int)')
  await leader.thaw()
  await cluster.untilWhole()
  expect((await cluster.leader()).name).toBe(successor.name)
  expect(await ask(cluster.adminUrl, 'table while_frozen')).toEqual([])
}, 180_000)
