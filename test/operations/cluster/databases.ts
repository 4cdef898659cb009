import { readFile } from 'node:fs/promises'

import { Client } from 'pg'
import { beforeAll, describe, expect, test } from 'vitest'

import { askPatroni } from '../../support/ask-patroni.ts'
import type { DatabaseCluster } from '../../support/cluster.ts'

/** What the databases of a cluster with a pooler are like to who comes to them. */
export function databasesOf(given: () => DatabaseCluster): void {
  describe('the databases', () => {
    let cluster: DatabaseCluster
    beforeAll(async () => {
      cluster = given()
      await askCluster(cluster.adminUrl, 'create table writes (n int primary key)')
    })

    test('writes go to the leader by way of the balancer, over TLS, and wait for a standby', async () => {
      const rows = await askCluster(
        cluster.adminUrl,
        `select pg_is_in_recovery() as "isStandby", ssl.version as tls, current_setting('synchronous_commit') as waits,
           current_setting('data_checksums') as checksums, current_setting('wal_retrieve_retry_interval') as retry
         from pg_stat_ssl ssl where pid = pg_backend_pid()`,
      )
      expect(rows).toEqual([
        { isStandby: false, tls: 'TLSv1.3', waits: 'on', checksums: 'on', retry: '100ms' },
      ])
      const leader = await cluster.leader()
      const standbys = await askCluster<{ state: string }>(
        leader.url,
        'select sync_state as state from pg_stat_replication',
      )
      expect(standbys.map(({ state }) => state).sort()).toEqual(['async', 'sync'])
    })

    test('the port of the replicas leads to a standby', async () => {
      expect(await askCluster(cluster.replicasUrl, 'select pg_is_in_recovery() as "isStandby"')).toEqual([
        { isStandby: true },
      ])
    })

    test('the pooler leads to the leader as well, with the same password', async () => {
      const url = cluster.url(cluster.plan.poolers[0]!, 'nomaly', 'application')
      expect(
        await askCluster(url, 'select current_user as login, pg_is_in_recovery() as "isStandby"'),
      ).toEqual([{ login: 'nomaly', isStandby: false }])
    })

    test('the application may do nothing outside its roles, and what is not encrypted is refused', async () => {
      await expect(askCluster(cluster.applicationUrl, 'table writes')).rejects.toThrow('permission denied')
      const plain = new URL(cluster.applicationUrl)
      plain.search = ''
      await expect(askCluster(plain.href, 'select 1')).rejects.toThrow('no encryption')
    })

    test('Patroni shows its state to everybody, and changes nothing for those without its password', async () => {
      const node = cluster.nodes[0]!
      expect((await cluster.ask(node, '/cluster')).status).toBe(200)
      const authority = await readFile(cluster.authorityFile, 'utf8')
      const { status } = await askPatroni(`${node.restUrl}/reload`, { authority, body: {} })
      expect(status).toBe(401)
    })
  })
}

/** One statement on a connection of its own. */
export async function askCluster<Row extends object>(url: string, text: string): Promise<Row[]> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 5_000, query_timeout: 10_000 })
  client.on('error', () => {})
  await client.connect()
  try {
    return (await client.query<Row>(text)).rows
  } finally {
    await client.end()
  }
}
