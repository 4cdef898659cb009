import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { beforeAll, describe, expect, test } from 'vitest'
import type { Connection, Isolation } from '../../src/database/connection.ts'
import type { Database } from '../../src/database/database.ts'
import { NomalyError } from '../../src/errors.ts'
import { uniform } from '../support/random.ts'
import { app, useDatabase } from './database-fixture.ts'

const fixture = useDatabase()
const CLIENTS = 8

beforeAll(async () => {
  await fixture.admin(`
    create table public.counters (id int primary key, value int not null);
    create table public.duty (team int, person int, is_on boolean not null, primary key (team, person));
    create table public.bookings (slot int, who text);
    create table public.owners (id int primary key);
    create table public.things_owned (id text primary key, owner int not null references public.owners, unique (owner, id));
    create table public.accounts (id int primary key, balance int not null check (balance >= 0));
    create table public.transfers (id text primary key);
    grant all on public.counters, public.duty, public.bookings, public.owners, public.things_owned, public.accounts,
      public.transfers to nomaly_app;
    -- A second would be long for a test: what waits for each other would be killed before it is found.
    do $$ begin execute format('alter database %I set deadlock_timeout = ''20ms''', current_database()); end $$`)
})

/** Does something until it is acknowledged, as a client does that was asked to send it again; answers whether it ever was. */
async function insist(
  database: Database,
  isolation: Isolation,
  work: (connection: Connection) => Promise<void>,
): Promise<void> {
  for (;;)
    try {
      await database.transaction({ ...app, retry: true, isolation }, work)
      return
    } catch (error) {
      if (!(error instanceof NomalyError) || error.code !== 'unavailable') throw error
    }
}

async function crowd(work: (client: number) => Promise<void>): Promise<void> {
  await Promise.all(Array.from({ length: CLIENTS }, (_, client) => work(client)))
}

/** A moment in which others go on: what makes a race of what looks like a step. */
function breathe(): Promise<void> {
  return sleep(2)
}

/** Counts by reading and writing what was read plus one; answers how many counts were lost. */
async function lostUpdates(isolation: Isolation): Promise<number> {
  const database = fixture.open({ maxConnections: CLIENTS })
  const rounds = 10
  await fixture.admin('delete from counters; insert into counters values (1, 0)')
  await crowd(async () => {
    for (let i = 0; i < rounds; i++)
      await insist(database, isolation, async (connection) => {
        const [row] = await connection.query<{ value: number }>(
          'select value from public.counters where id = 1',
        )
        await breathe()
        await connection.query('update public.counters set value = $1 where id = 1', [row!.value + 1])
      })
  })
  const [row] = await fixture.admin<{ value: number }>('select value from counters')
  return CLIENTS * rounds - row!.value
}

/** Everybody leaves their team if somebody else stays; answers how many teams are left alone. */
async function skewedWrites(isolation: Isolation): Promise<number> {
  const database = fixture.open({ maxConnections: CLIENTS })
  await fixture.admin(
    `delete from duty; insert into duty select team, person, true from generate_series(1, 10) team, generate_series(1, ${CLIENTS}) person`,
  )
  await crowd(async (client) => {
    for (let team = 1; team <= 10; team++)
      await insist(database, isolation, async (connection) => {
        const on = await connection.query('select person from public.duty where team = $1 and is_on', [team])
        await breathe()
        if (on.length > 1)
          await connection.query('update public.duty set is_on = false where team = $1 and person = $2', [
            team,
            client + 1,
          ])
      })
  })
  const alone = await fixture.admin('select team from duty group by team having not bool_or(is_on)')
  return alone.length
}

/** Everybody books a slot that has room for three; answers how many slots have more. */
async function phantoms(isolation: Isolation): Promise<number> {
  const database = fixture.open({ maxConnections: CLIENTS })
  await fixture.admin('truncate bookings')
  await crowd(async (client) => {
    for (let slot = 1; slot <= 10; slot++)
      await insist(database, isolation, async (connection) => {
        const taken = await connection.query('select from public.bookings where slot = $1', [slot])
        await breathe()
        if (taken.length < 3)
          await connection.query('insert into public.bookings values ($1, $2)', [slot, `client ${client}`])
      })
  })
  return (await fixture.admin('select slot from bookings group by slot having count(*) > 3')).length
}

describe.each([
  ['a lost update', lostUpdates, 'repeatable read'],
  ['a write skew', skewedWrites, 'serializable'],
  ['a phantom', phantoms, 'serializable'],
] as const)('%s', (_name, harm, isolation) => {
  test(`does not happen in transactions that are ${isolation}`, { timeout: 60_000 }, async () => {
    expect(await harm(isolation)).toBe(0)
  })

  test('is found where they are not', { timeout: 60_000 }, async () => {
    expect(await harm('read committed')).toBeGreaterThan(0)
  })
})

describe('under retries', () => {
  test('a foreign key has no orphan, whoever is faster', async () => {
    const database = fixture.open({ maxConnections: CLIENTS })
    await fixture.admin('insert into owners select generate_series(1, 60)')
    let refused = 0
    await crowd(async (client) => {
      const random = uniform(client)
      const owners = Array.from({ length: 60 }, (_, index) => ({ owner: index + 1, order: random() }))
      for (const { owner } of owners.toSorted((a, b) => a.order - b.order)) {
        const statement =
          client % 2 === 0
            ? `insert into public.things_owned values ('${randomUUID()}', ${owner})`
            : `with gone as (delete from public.things_owned where owner = ${owner}) delete from public.owners where id = ${owner}`
        await database
          .transaction({ ...app, retry: true, isolation: 'serializable' }, (connection) =>
            connection.query(statement),
          )
          .catch((error: { code: string }) => {
            expect(['23503', 'unavailable']).toContain(error.code)
            refused += 1
          })
      }
    })
    expect(refused).toBeGreaterThan(0)
    expect(
      await fixture.admin(
        'select from things_owned t where not exists (select from owners where id = t.owner)',
      ),
    ).toEqual([])
  })

  test('what must be unique is there once, and the others hear that it is', async () => {
    const database = fixture.open({ maxConnections: CLIENTS })
    const outcomes: string[] = []
    await crowd(async () => {
      for (let i = 0; i < 20; i++)
        outcomes.push(
          await database
            .transaction({ ...app, retry: true }, (connection) =>
              connection.query('insert into public.things values ($1)', [`unique ${i}`]),
            )
            .then(
              () => 'stored',
              (error: { code: string }) => error.code,
            ),
        )
    })
    expect(outcomes.filter((outcome) => outcome === 'stored')).toHaveLength(20)
    expect(outcomes.filter((outcome) => outcome === '23505')).toHaveLength(20 * (CLIENTS - 1))
    expect(await fixture.names('unique %')).toHaveLength(20)
  })

  test(
    'money moves once or not at all, though connections are killed and transfers cross',
    { timeout: 60_000 },
    async () => {
      const database = fixture.open({ maxConnections: CLIENTS })
      const random = uniform(7)
      const below = (n: number): number => Math.floor(random() * n)
      await fixture.admin('insert into accounts select id, 100 from generate_series(0, 9) id')
      const outcomes = new Map<string, string>()
      let isOver = false
      const killing = (async () => {
        while (!isOver) {
          await fixture.admin(
            `select pg_terminate_backend(pid) from pg_stat_activity
           where application_name = 'nomaly test' and datname = current_database() and state <> 'idle' order by random() limit 1`,
          )
          await sleep(80)
        }
      })()
      await crowd(async () => {
        for (let i = 0; i < 40; i++) {
          const [id, from, to, amount] = [randomUUID(), below(10), below(10), below(60)]
          const outcome = await database
            .transaction({ ...app, retry: true }, async (connection) => {
              await connection.query('update public.accounts set balance = balance - $2 where id = $1', [
                from,
                amount,
              ])
              await breathe()
              await connection.query('update public.accounts set balance = balance + $2 where id = $1', [
                to,
                amount,
              ])
              await connection.query('insert into public.transfers values ($1)', [id])
            })
            .then(
              () => 'stored',
              (error: { code: string }) => error.code,
            )
          outcomes.set(id, outcome)
        }
      })
      isOver = true
      await killing
      const { collision, loss } = database.retryCounts
      expect(collision).toBeGreaterThan(0)
      expect(loss).toBeGreaterThan(0)
      const [sum] = await fixture.admin<{ sum: number }>('select sum(balance)::int4 as sum from accounts')
      expect(sum!.sum).toBe(1_000)
      const stored = new Set(
        (await fixture.admin<{ id: string }>('select id from transfers')).map(({ id }) => id),
      )
      for (const [id, outcome] of outcomes) {
        if (outcome !== 'unknown_outcome') expect([id, stored.has(id)]).toEqual([id, outcome === 'stored'])
        expect(['stored', 'unavailable', 'unknown_outcome', '23514']).toContain(outcome)
      }
      expect(stored.size).toBeGreaterThan(50)
    },
  )
})
