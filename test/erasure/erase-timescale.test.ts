import { mkdtemp, chmod, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { urlForLogin } from '../../src/operations/connection-urls.ts'
import { resolveSeries } from '../../src/operations/erasure/resolve-subject.ts'
import { migrateInstance } from '../../src/operations/open-instance.ts'
import { openStore } from '../../src/store/open-store.ts'
import { compressAll } from '../metrics/timescale-fixture.ts'
import { testConfig } from '../support/nomaly.ts'
import { findTimescalePrograms, NO_TIMESCALE, TimescaleServer } from '../support/timescale-server.ts'
import { connectAdmin, dumpDatabase, openEraser, plantSeries, WORK } from './eraser-fixture.ts'
import { asStored, filesWith } from './files-with.ts'

const bin = await findTimescalePrograms()
const LOGIN = { name: 'nomaly_test', password: 'test' }
const NUMBER = 8.765_432_1e123
const DAY_MS = 86_400_000

describe.skipIf(bin === undefined)(bin === undefined ? NO_TIMESCALE : 'with TimescaleDB', () => {
  test(
    'series are gone from chunks, compressed or not, from roll-ups and from files',
    { timeout: 120_000 },
    async () => {
      const parent = await mkdtemp(join(tmpdir(), 'w-erase-timescale-'))
      await chmod(parent, 0o711)
      onTestFinished(() => rm(parent, { recursive: true, force: true, maxRetries: 5 }))
      await using server = await TimescaleServer.prepare(bin!, parent)
      server.launch()
      expect(await server.untilReady()).toBe(true)
      await migrateInstance({ adminUrl: server.adminUrl, applicationLogin: LOGIN }, 'timescale', () => {})
      const databaseUrl = urlForLogin(server.adminUrl, LOGIN.name, LOGIN.password)
      const config = testConfig({ databaseUrl, adminDatabaseUrl: server.adminUrl })
      await using store = await openStore(config, databaseUrl, () => {})
      const { id: tenantId } = await store.tenants.create('t')
      const scope = { tenantId }
      const values = {
        kingfisher: Array.from({ length: 400 }, () => NUMBER),
        kept: Array.from({ length: 400 }, (_, index) => index),
      }
      const nowMs = Date.now()
      const old = await plantSeries(store, scope, 'old', values, 'forever', nowMs - 3 * DAY_MS)
      await store.metrics.rollUp(new Date(nowMs))
      expect(await compressAll(store.database)).toBeGreaterThan(0)
      const fresh = await plantSeries(store, scope, 'fresh', values, 'forever', nowMs)
      const admin = await connectAdmin(server.adminUrl)
      await admin.query('checkpoint')
      const gone = [old, fresh].map(({ series }) => series.get('kingfisher')!)
      const kept = [old, fresh].map(({ series }) => series.get('kept')!)

      /** Rows of these series in everything that belongs to hypertables, compressed rows too, by what they are in. */
      const rowsOf = async (series: readonly number[]): Promise<Record<string, number>> => {
        const { rows: tables } = await admin.query<{ name: string; kind: string }>(
          `select format('%I.%I', n.nspname, c.relname) as name,
             case when c.relname like 'compress%' then 'compressed' when h.table_name like '\\_materialized%' then 'rolled up' else 'chunks' end as kind
           from pg_class c join pg_namespace n on n.oid = c.relnamespace
           left join _timescaledb_catalog.chunk k on k.schema_name = n.nspname and k.table_name = c.relname
           left join _timescaledb_catalog.hypertable h on h.id = k.hypertable_id
           where n.nspname = '_timescaledb_internal' and c.relkind = 'r'
             and exists (select from pg_attribute where attrelid = c.oid and attname = 'series_id')`,
        )
        const counts: Record<string, number> = { compressed: 0, 'rolled up': 0, chunks: 0 }
        for (const { name, kind } of tables) {
          const { rows } = await admin.query<{ count: number }>(
            `select count(*)::int as count from ${name} where series_id = any($1::int4[])`,
            [series],
          )
          counts[kind]! += rows[0]!.count
        }
        return counts
      }
      const before = await rowsOf(gone)
      for (const kind of Object.keys(before)) expect(before[kind], kind).toBeGreaterThan(0)
      const keptBefore = await rowsOf(kept)
      expect(await filesWith(server.directory, asStored(NUMBER))).not.toEqual([])
      expect(await filesWith(server.directory, Buffer.from('kingfisher'))).not.toEqual([])

      const eraser = await openEraser(config)
      const { core, metrics } = eraser.site
      const receipt = await eraser.erase(
        await resolveSeries(core, metrics.admin, gone, undefined),
        'me',
        WORK,
      )
      expect(receipt.left).toEqual([])
      expect(receipt.removed).toMatchObject({ series: 2, points: 800 })
      expect(receipt.rewritten.map(({ table }) => table).join('\n')).toMatch(/compress/)

      expect(await rowsOf(gone)).toEqual({ compressed: 0, 'rolled up': 0, chunks: 0 })
      expect(await rowsOf(kept)).toEqual(keptBefore)
      expect(await filesWith(server.directory, asStored(NUMBER))).toEqual([])
      expect(await filesWith(server.directory, Buffer.from('kingfisher'))).toEqual([])
      expect(await dumpDatabase(admin)).not.toContain('kingfisher')
      for (const id of kept) {
        const scanned = await Array.fromAsync(
          store.metrics.scan(scope, [id], { fromMs: 0, toMs: nowMs + DAY_MS }),
        )
        expect(scanned.flatMap((part) => [...part.values])).toEqual(values.kept)
      }
    },
  )
})
