import { expect, onTestFinished, test } from 'vitest'
import type { FlagsChange, Flags } from '../../src/flags/flags.ts'
import { openStore } from '../../src/store/open-store.ts'
import type { Store } from '../../src/store/store.ts'
import { openTestStore } from '../store/store-fixture.ts'
import { eventually, testConfig } from '../support/nomaly.ts'
import { TcpProxy } from '../support/tcp-proxy.ts'

const actor = 'test'

function variant(
  flags: Flags,
  tenantId: string | undefined,
  key: string,
  targetingKey = 'ann',
): string | undefined {
  return flags.evaluate(tenantId, key, { targetingKey }).variant
}

async function setFlag(store: Store, tenantId: string, key: string, change: object): Promise<void> {
  await store.transaction({ tenantId }, (unit) => unit.flags.update(key, change, { actor }))
}

test('a change is felt in every process, and a listener is told once it holds there', async () => {
  const { store, scope, another } = await openTestStore()
  const other = await another()
  const heard: { change: FlagsChange; variant: string | undefined }[] = []
  const stop = other.flags.onChange((change) =>
    heard.push({ change, variant: variant(other.flags, scope.tenantId, 'new-page') }),
  )
  await store.transaction(scope, (unit) =>
    unit.flags.create('new-page', { enabled: true, defaultVariant: 'on' }, { actor }),
  )
  await eventually(async () => heard.length === 1)
  expect(heard[0]).toEqual({ change: { tenantId: scope.tenantId, keys: ['new-page'] }, variant: 'on' })
  await setFlag(store, scope.tenantId, 'new-page', { enabled: false })
  await eventually(async () => variant(other.flags, scope.tenantId, 'new-page') === 'off')
  expect(other.flags.evaluate(scope.tenantId, 'new-page', {})).toEqual({
    value: false,
    variant: 'off',
    reason: 'DISABLED',
  })
  stop()
  await store.transaction(scope, (unit) => unit.flags.remove('new-page', { actor }))
  await eventually(
    async () => other.flags.evaluate(scope.tenantId, 'new-page', {}).errorCode === 'FLAG_NOT_FOUND',
  )
  expect(heard).toHaveLength(2)
})

test('what a rolled-back transaction changed nobody hears of, and nothing is kept of it', async () => {
  const { store, scope } = await openTestStore()
  await expect(
    store.transaction(scope, async (unit) => {
      await unit.flags.create('f', {}, { actor })
      throw new Error('undone')
    }),
  ).rejects.toThrow('undone')
  await store.flags.refresh(scope.tenantId)
  expect(store.flags.ruleset(scope.tenantId).flags).toEqual({})
  await expect(store.read(scope, 'latest').flags.history('f', { limit: 10 })).rejects.toMatchObject({
    code: 'not_found',
  })
})

test('every version is kept with who and why, any of them can be taken again, also after a removal', async () => {
  const { store, scope, admin } = await openTestStore()
  const inUnit = <T>(work: Parameters<typeof store.transaction<T>>[1]): Promise<T> =>
    store.transaction(scope, work).then(({ value }) => value)
  await inUnit((unit) => unit.flags.create('f', {}, { actor: 'ann', note: 'first' }))
  await inUnit((unit) =>
    unit.flags.update(
      'f',
      { enabled: true, rules: [{ split: [{ variant: 'on', percentage: 10 }] }] },
      { actor: 'bob' },
    ),
  )
  await inUnit((unit) => unit.flags.remove('f', { actor: 'cleo', note: 'done with it' }))
  const back = await inUnit((unit) => unit.flags.revert('f', 2, { actor: 'dan', note: 'too soon' }))
  expect(back).toMatchObject({ version: 4, enabled: true, changedBy: 'dan' })
  const { items } = await store.read(scope, 'latest').flags.history('f', { limit: 10 })
  expect(
    items.map(({ version, note, changedBy, revertedTo, changes }) => ({
      version,
      note,
      changedBy,
      revertedTo,
      changes,
    })),
  ).toEqual([
    {
      version: 4,
      note: 'too soon',
      changedBy: 'dan',
      revertedTo: 2,
      changes: ['made: boolean, on', 'rule 1 added: -> 10% on'],
    },
    { version: 3, note: 'done with it', changedBy: 'cleo', revertedTo: null, changes: ['removed'] },
    {
      version: 2,
      note: '',
      changedBy: 'bob',
      revertedTo: null,
      changes: ['turned on', 'rule 1 added: -> 10% on'],
    },
    { version: 1, note: 'first', changedBy: 'ann', revertedTo: null, changes: ['made: boolean, off'] },
  ])
  const paged = await store.read(scope, 'latest').flags.history('f', { limit: 3 })
  const rest = await store.read(scope, 'latest').flags.history('f', { limit: 3, cursor: paged.nextCursor! })
  expect([...paged.items, ...rest.items]).toEqual(items)
  for (const version of [3, 9])
    await expect(inUnit((unit) => unit.flags.revert('f', version, { actor }))).rejects.toMatchObject({
      code: 'not_found',
    })
  // A key that is made again goes on counting: a number that somebody has seen never means something else.
  await inUnit((unit) => unit.flags.remove('f', { actor }))
  expect(await inUnit((unit) => unit.flags.create('f', {}, { actor }))).toMatchObject({ version: 6 })
  const audited = await admin(
    'select actor, action, detail from nomaly.audit_log where subject_kind = $1 order by id',
    ['flag'],
  )
  expect(audited.map(({ action }) => action)).toEqual(
    ['create', 'update', 'delete', 'revert', 'delete', 'create'].map((verb) => `flag.${verb}`),
  )
  expect(audited[3]).toEqual({
    actor: 'dan',
    action: 'flag.revert',
    detail: { version: 4, note: 'too soon', revertedTo: 2 },
  })
  await expect(
    inUnit(() => admin('set role nomaly_app; update nomaly.live_versions set note = $$x$$')),
  ).rejects.toThrow('permission denied')
})

test('of many edits of what one version was, one is made; edits of what is there are all made', async () => {
  const { store, scope, another } = await openTestStore()
  const other = await another()
  await store.transaction(scope, (unit) => unit.flags.create('f', {}, { actor }))
  const edits = Array.from({ length: 10 }, (_, index) =>
    (index % 2 === 0 ? store : other).transaction(scope, (unit) =>
      unit.flags.update('f', { description: `edit ${index}` }, { actor, ifVersion: 1 }),
    ),
  )
  const results = await Promise.allSettled(edits)
  expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
  for (const result of results)
    if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'precondition_failed' })
  const counted = Array.from({ length: 10 }, (_, index) =>
    (index % 2 === 0 ? store : other).transaction(scope, (unit) =>
      unit.flags.edit('f', ({ description }) => ({ description: `${description}+` }), { actor }),
    ),
  )
  await Promise.all(counted)
  const flag = await store.read(scope, 'latest').flags.get('f')
  expect(flag.version).toBe(12)
  expect(flag.description).toMatch(/^edit \d\+{10}$/)
  const made = await Promise.allSettled(
    Array.from({ length: 8 }, () =>
      store.transaction(scope, (unit) => unit.flags.create('g', {}, { actor })),
    ),
  )
  expect(made.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
})

test('tenants have their own flags; those of the installation hold for all, unless a tenant has one of that key', async () => {
  const { store, scope } = await openTestStore()
  const { id: tenantId } = await store.tenants.create('other')
  const rules = [{ tenants: [tenantId], variant: 'on' }]
  await store.flags.operate((flags) =>
    flags.create(
      'beta',
      { enabled: true, defaultVariant: 'off', rules },
      { actor: 'operator', note: 'try it' },
    ),
  )
  const listed = async (id: string): Promise<string[]> =>
    (await store.read({ tenantId: id }, 'latest').flags.list({ limit: 10 })).items.map(({ key }) => key)
  expect([variant(store.flags, scope.tenantId, 'beta'), variant(store.flags, tenantId, 'beta')]).toEqual([
    'off',
    'on',
  ])
  expect([await listed(scope.tenantId), await listed(tenantId)]).toEqual([[], []])
  await expect(store.read({ tenantId }, 'latest').flags.get('beta')).rejects.toMatchObject({
    code: 'not_found',
  })
  await expect(setFlag(store, tenantId, 'beta', { enabled: false })).rejects.toMatchObject({
    code: 'not_found',
  })
  expect(JSON.stringify(store.flags.ruleset(tenantId))).not.toContain(tenantId)

  await store.transaction(scope, (unit) =>
    unit.flags.create('beta', { enabled: true, defaultVariant: 'on' }, { actor }),
  )
  await store.flags.refresh(scope.tenantId)
  expect(variant(store.flags, scope.tenantId, 'beta')).toBe('on')
  expect(store.flags.evaluateInstallation('beta', {}, scope.tenantId).variant).toBe('off')
  expect(variant(store.flags, tenantId, 'beta')).toBe('on')
  expect([await listed(scope.tenantId), await listed(tenantId)]).toEqual([['beta'], []])
  await expect(
    store.transaction(scope, (unit) => unit.flags.create('mine', { rules }, { actor })),
  ).rejects.toMatchObject({ code: 'invalid_input', problems: [{ field: 'rules.0.tenants' }] })
})

test('a process whose database is away goes on with what it knows, and hears of what it missed when it is back', async () => {
  const { store, scope, databaseUrl } = await openTestStore()
  await store.transaction(scope, (unit) =>
    unit.flags.create('f', { enabled: true, defaultVariant: 'on' }, { actor }),
  )
  await using proxy = await TcpProxy.to(databaseUrl)
  const said: string[] = []
  const far = await openStore(testConfig({ acquireTimeoutMs: 1_000 }), proxy.url(databaseUrl), (line) =>
    said.push(line),
  )
  onTestFinished(() => far[Symbol.asyncDispose]())
  const changes: FlagsChange[] = []
  const stale: boolean[] = []
  far.flags.onChange((change) => changes.push(change))
  far.flags.onStale((isStale) => stale.push(isStale))
  proxy.goAway()
  await setFlag(store, scope.tenantId, 'f', { enabled: false })
  await far.flags.refresh(scope.tenantId)
  expect(far.flags.isStale).toBe(true)
  expect(variant(far.flags, scope.tenantId, 'f')).toBe('on')
  expect(changes).toEqual([])
  proxy.comeBack()
  await eventually(async () => variant(far.flags, scope.tenantId, 'f') === 'off')
  expect(changes).toEqual([{ tenantId: scope.tenantId, keys: ['f'] }])
  await eventually(async () => !far.flags.isStale)
  expect(stale).toEqual([true, false])
  expect(said.filter((line) => line.startsWith('Flags and settings cannot be read'))).toHaveLength(1)
})

test('a change whose notice was lost is found by looking', async () => {
  const { store, scope, admin } = await openTestStore()
  await store.transaction(scope, (unit) =>
    unit.flags.create('f', { enabled: true, defaultVariant: 'on' }, { actor }),
  )
  await store.flags.refresh(scope.tenantId)
  const { LiveEntries } = await import('../../src/flags/live-entries.ts')
  await using entries = new LiveEntries({
    database: store.database,
    notifier: store.notifier,
    log: () => {},
    pollMs: 50,
  })
  const seen: number[] = []
  entries.attach('flag', (_, [entry]) => seen.push(entry!.version))
  await entries.start()
  await admin('update nomaly.live_entries set version = version + 1')
  await eventually(async () => seen.length === 2)
  expect(seen).toEqual([1, 2])
})

test('a flag of a newer version of the product is an error of its own, and harms no other', async () => {
  const { store, scope, admin } = await openTestStore()
  await store.transaction(scope, async (unit) => {
    await unit.flags.create('f', { enabled: true, defaultVariant: 'on' }, { actor })
    await unit.flags.create('g', { enabled: true, defaultVariant: 'on' }, { actor })
  })
  await admin(
    `update nomaly.live_entries set version = 2, value = value || '{"type": "colour"}' where key = 'f'`,
  )
  await store.flags.refresh(scope.tenantId)
  expect(store.flags.evaluate(scope.tenantId, 'f', {})).toMatchObject({
    reason: 'ERROR',
    errorCode: 'PARSE_ERROR',
  })
  expect(variant(store.flags, scope.tenantId, 'g')).toBe('on')
  expect(Object.keys(store.flags.ruleset(scope.tenantId).flags)).toEqual(['g'])
})
