import { expect, test } from 'vitest'
import type { Page } from '../../src/database/paging.ts'
import { validateDetectorSettings } from '../../src/detection/algorithms.ts'
import { openTestStore, type StoreFixture } from './store-fixture.ts'

/** A list, and how one more item comes into being. */
interface Paged {
  readonly list: (
    fixture: StoreFixture,
    limit: number,
    cursor?: string,
  ) => Promise<Page<{ id: string | number }>>
  /** Adds items; all in one transaction, so that their times are equal where times come from the database. */
  readonly add: (fixture: StoreFixture, names: readonly string[]) => Promise<void>
}

async function addJobs({ store, scope }: StoreFixture, names: readonly string[]): Promise<void> {
  await store.transaction(scope, async (unit) => {
    const dataset = (await unit.datasets.find('shop')) ?? (await unit.datasets.create({ name: 'shop' }))
    const detector =
      (await unit.detectors.findByName('auto')) ??
      (await unit.detectors.create('auto', validateDetectorSettings({})))
    for (const name of names)
      await unit.jobs.create({
        name,
        datasetId: dataset.id,
        detectorId: detector.id,
        schedule: { kind: 'once' },
        selector: {},
        nextRunAt: undefined,
      })
  })
}

const page = (limit: number, cursor: string | undefined): { limit: number; cursor?: string } => ({
  limit,
  ...(cursor === undefined ? {} : { cursor }),
})

const LISTS: Readonly<Record<string, Paged>> = {
  jobs: {
    list: ({ store, scope }, limit, cursor) => store.read(scope, 'latest').jobs.list({}, page(limit, cursor)),
    add: addJobs,
  },
  datasets: {
    list: ({ store, scope }, limit, cursor) => store.read(scope, 'latest').datasets.list(page(limit, cursor)),
    add: async ({ store, scope }, names) => {
      await store.transaction(scope, async (unit) => {
        for (const name of names) await unit.datasets.create({ name })
      })
    },
  },
  audit: {
    list: ({ store, scope }, limit, cursor) => store.read(scope, 'latest').audit.list(page(limit, cursor)),
    add: async ({ store, scope }, names) => {
      await store.transaction(scope, async (unit) => {
        for (const name of names) await unit.audit.record('me', name, { kind: 'a', id: 'b' })
      })
    },
  },
}

test.for(Object.entries(LISTS))(
  '%s: rows that come between two pages neither repeat nor hide any',
  async ([, paged]) => {
    const fixture = await openTestStore()
    const names = (prefix: string, count: number): string[] =>
      Array.from({ length: count }, (_, n) => `${prefix}-${n}`)
    // Two transactions: among the rows of one, times are the same to the microsecond.
    await paged.add(fixture, names('m', 7))
    await paged.add(fixture, names('n', 6))
    const before = (await paged.list(fixture, 500)).items.map(({ id }) => id)
    expect(before).toHaveLength(13)
    const seen: (string | number)[] = []
    let cursor: string | undefined
    for (let round = 0; ; round++) {
      const { items, nextCursor } = await paged.list(fixture, 3, cursor)
      expect(items.length).toBeLessThanOrEqual(3)
      seen.push(...items.map(({ id }) => id))
      if (nextCursor === null) break
      cursor = nextCursor
      // Before and behind what was read, whatever the list is ordered by.
      await paged.add(fixture, [`a-${round}`, `z-${round}`])
    }
    expect(new Set(seen).size).toBe(seen.length)
    expect(before.filter((id) => !seen.includes(id))).toEqual([])
    expect(seen.filter((id) => before.includes(id))).toEqual(before)
  },
)

test('the last page says so, also when it is full', async () => {
  const fixture = await openTestStore()
  await addJobs(fixture, ['a', 'b', 'c', 'd'])
  const { jobs } = fixture.store.read(fixture.scope, 'latest')
  const first = await jobs.list({}, { limit: 2 })
  const second = await jobs.list({}, { limit: 2, cursor: first.nextCursor! })
  expect(second.items).toHaveLength(2)
  expect(second.nextCursor).toBeNull()
})

test('text that no page has given out is refused as a cursor', async () => {
  const fixture = await openTestStore()
  const { jobs } = fixture.store.read(fixture.scope, 'latest')
  const forged = [[1, 2], ['2025-01-01 00:00:00+00', "'; drop table nomaly.jobs; --"], ['x'], {}, null].map(
    (keys) => Buffer.from(JSON.stringify(keys)).toString('base64url'),
  )
  for (const cursor of ['', 'nonsense', ...forged])
    await expect(jobs.list({}, { limit: 2, cursor }), cursor).rejects.toMatchObject({
      code: 'invalid_input',
      problems: [{ field: 'cursor' }],
    })
})
