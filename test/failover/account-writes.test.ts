import { expect, test } from 'vitest'
import { NomalyError } from '../../src/errors.ts'
import { accountFor, lostBytes, lsnBytes } from '../../src/operations/failover/account-writes.ts'
import type { FoundLanes } from '../../src/operations/failover/found-writes.ts'
import { longestPauseMs, type Write, WriteLedger } from '../../src/operations/failover/write-ledger.ts'

const at = (lsn: string) => ({ systemId: '1', timeline: 4, lsn })
const unknown = new NomalyError('unknown_outcome', 'unknown')
const refused = new NomalyError('unavailable', 'nothing was stored')

function lane(
  whole: readonly number[],
  counter: number | undefined,
  torn: readonly number[] = [],
): FoundLanes {
  return new Map([['0', { whole: new Set(whole), torn, counter }]])
}

function acknowledged(ledger: WriteLedger, n: number, isNew = true, errors: readonly Error[] = []): Write {
  const write = ledger.begin('counters', 0, n)
  for (const error of errors) ledger.fail(write, error)
  ledger.acknowledge(write, 1_000 + n, at(`0/${n}`), isNew)
  return write
}

test('what was acknowledged and is not there is missing; the last one of it says how much of the log went', () => {
  const ledger = new WriteLedger()
  for (const n of [1, 2, 3, 4]) acknowledged(ledger, n)
  const account = accountFor(ledger.writes, lane([1, 4], 2))
  expect(account).toMatchObject({
    acknowledged: 4,
    missing: 2,
    missingExamples: ['counters 0/2', 'counters 0/3'],
    doubled: 0,
    torn: 0,
  })
  expect(account.lastMissing?.n).toBe(3)
  expect(lostBytes(account.lastMissing, new Map([[4, 1n]]))).toBe(2)
  expect(lostBytes(account.lastMissing, new Map([[3, 1n]]))).toBeUndefined()
  expect(lostBytes(undefined, new Map())).toBe(0)
})

test('a counter ahead of its marks was counted twice, one behind them lost a part; so did points of which some are there', () => {
  const ledger = new WriteLedger()
  for (const n of [0, 1]) acknowledged(ledger, n)
  expect(accountFor(ledger.writes, lane([0, 1], 3))).toMatchObject({ doubled: 1, torn: 0, missing: 0 })
  expect(accountFor(ledger.writes, lane([0, 1], 1))).toMatchObject({ doubled: 0, torn: 1, missing: 0 })
  expect(accountFor(ledger.writes, lane([0], undefined, [1]))).toMatchObject({ torn: 1, missing: 1 })
})

test('stored without being acknowledged is one thing, stored though refused another', () => {
  const ledger = new WriteLedger()
  acknowledged(ledger, 0, false, [unknown])
  acknowledged(ledger, 1, false, [unknown, refused])
  const lie = acknowledged(ledger, 2, false, [refused])
  ledger.fail(ledger.begin('counters', 0, 3), unknown)
  ledger.fail(ledger.begin('counters', 0, 4), refused)
  ledger.begin('counters', 0, 5)
  const found = lane([0, 1, 2, 3, 4], 5)
  expect(accountFor(ledger.writes, found)).toMatchObject({
    storedUnacknowledged: 5,
    storedThoughRefused: 2,
    missing: 0,
  })
  expect(lie.foundStored).toBe('refused')
  expect(Object.fromEntries(ledger.errors)).toEqual({ unknown_outcome: 3, unavailable: 3 })
})

test('the longest pause begins at the blow at the earliest, and lasts to the end where nothing comes any more', () => {
  const ledger = new WriteLedger()
  for (const n of [-500, -10, 20, 4_000, 4_100]) acknowledged(ledger, n)
  expect(longestPauseMs(ledger.writes, 1_000, 5_200)).toBe(3_980)
  expect(longestPauseMs(ledger.writes, 1_000, 15_000)).toBe(9_900)
  expect(longestPauseMs(ledger.writes, 5_101, 15_000)).toBeUndefined()
})

test('places in the log are compared as numbers', () => {
  expect(lsnBytes('1/0') - lsnBytes('0/FFFFFFFF')).toBe(1n)
})
