import { readFile } from 'node:fs/promises'

import { afterAll, beforeAll, expect, test } from 'vitest'
import { Client } from 'pg'

import { askPatroni } from '../support/ask-patroni.ts'
import { DatabaseCluster } from '../support/cluster.ts'

let cluster: DatabaseCluster
beforeAll(async () => {
  cluster = await DatabaseCluster.start({ pooler: true })
  await ask(cluster.adminUrl, 'create table writes (n int primary key)')
}, 180_000)
afterAll(() => cluster?.[Symbol.asyncDispose]())

async function ask<Row extends object>(url: string, text: string): Promise<Row[]> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 5_000, query_timeout: 10_000 })
  client.on('error', () => {})
  await client.connect()
  try {
    return (await client.query<Row>(text)).rows
  } finally {
    await client.end()
  }
}

test('writes go to the leader by way of the balancer, over TLS, and wait for a standby', async () => {
  const rows = await ask(
    cluster.adminUrl,
    `select pg_is_in_recovery() as "isStandby", ssl.version as tls, current_setting('synchronous_commit') as waits,
       current_setting('data_checksums') as checksums, current_setting('wal_retrieve_retry_interval') as retry
     from pg_stat_ssl ssl where pid = pg_backend_pid()`,
  )
  expect(rows).toEqual([{ isStandby: false, tls: 'TLSv1.3', waits: 'on', checksums: 'on', retry: '100ms' }])
  const leader = await cluster.leader()
  const standbys = await ask<{ state: string }>(
    leader.url,
    'select sync_state as state from pg_stat_replication',
  )
  expect(standbys.map(({ state }) => state).sort()).toEqual(['async', 'sync'])
})

test('the port of the replicas leads to a standby', async () => {
  expect(await ask(cluster.replicasUrl, 'select pg_is_in_recovery() as "isStandby"')).toEqual([
    { isStandby: true },
  ])
})

test('the pooler leads to the leader as well, with the same password', async () => {
  const url = cluster.url(cluster.plan.poolers[0]!, 'nomaly', 'application')
  expect(await ask(url, 'select current_user as login, pg_is_in_recovery() as "isStandby"')).toEqual([
    { login: 'nomaly', isStandby: false },
  ])
})

test('the application may do nothing outside its roles, and what is not encrypted is refused', async () => {
  await expect(ask(cluster.applicationUrl, 'table writes')).rejects.toThrow('permission denied')
  const plain = new URL(cluster.applicationUrl)
  plain.search = ''
  await expect(ask(plain.href, 'select 1')).rejects.toThrow('no encryption')
})

test('Patroni shows its state to everybody, and changes nothing for those without its password', async () => {
  const node = cluster.nodes[0]!
  expect((await cluster.ask(node, '/cluster')).status).toBe(200)
  const authority = await readFile(cluster.authorityFile, 'utf8')
  const { status } = await askPatroni(`${node.restUrl}/reload`, { authority, body: {} })
  expect(status).toBe(401)
})

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
