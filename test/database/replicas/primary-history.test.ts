import { describe, expect, test } from 'vitest'
import { parseLsn, replayedBy, toWalPoint } from '../../../src/database/replicas/lsn.ts'
import { PrimaryHistory } from '../../../src/database/replicas/primary-history.ts'

const at = (lsn: bigint, timeline = 1) => ({ systemId: '7', timeline, lsn })

describe('log sequence numbers', () => {
  test('are compared as the numbers that they are', () => {
    expect(parseLsn('1/0')).toBe(0x1_0000_0000n)
    expect(parseLsn('FFFFFFFF/FFFFFFFF')).toBe(0xffff_ffff_ffff_ffffn)
    expect(parseLsn('0/9')).toBeLessThan(parseLsn('0/10'))
  })

  test('behind the header of a page or a segment are reached at its beginning', () => {
    expect(replayedBy(parseLsn('0/4000028'))).toBe(parseLsn('0/4000000'))
    expect(replayedBy(parseLsn('0/4002018'))).toBe(parseLsn('0/4002000'))
    expect(replayedBy(parseLsn('0/4002020'))).toBe(parseLsn('0/4002020'))
    expect(toWalPoint({ systemId: '7', timeline: 1, lsn: '0/4000028' })).toEqual(at(0x400_0000n))
  })
})

describe('where the primary stood', () => {
  test('at a time is known from the first answer since then', () => {
    const history = new PrimaryHistory(10_000)
    expect(history.since(0)).toBeUndefined()
    history.note(100, at(1n))
    history.note(200, at(2n))
    history.note(300, at(3n))
    expect(history.since(0)).toEqual(at(1n))
    expect(history.since(101)).toEqual(at(2n))
    expect(history.since(200)).toEqual(at(2n))
    expect(history.since(301)).toBeUndefined()
    expect(history.newest).toEqual(at(3n))
  })

  test('is of use for as long as it stands still', () => {
    const history = new PrimaryHistory(10_000)
    for (let ms = 0; ms <= 60_000; ms += 100) history.note(ms, at(5n))
    expect(history.since(59_950)).toEqual(at(5n))
    // Whoever has not replayed what it first saw a minute ago is a minute behind.
    expect(history.lagMs(4n, 60_000)).toBe(60_000)
    expect(history.lagMs(5n, 60_000)).toBe(0)
  })

  test('is not believed when an answer was overtaken', () => {
    const history = new PrimaryHistory(10_000)
    history.note(200, at(9n))
    history.note(100, at(4n))
    expect(history.newest).toEqual(at(9n))
    expect(history.since(50)).toEqual(at(9n))
  })

  test('is forgotten with its timeline, and beyond what is kept', () => {
    const history = new PrimaryHistory(1_000)
    for (let ms = 0; ms <= 5_000; ms += 100) history.note(ms, at(BigInt(ms)))
    expect(history.since(0)).toEqual(at(4_000n))
    history.note(5_100, at(50n, 2))
    expect(history.since(0)).toEqual(at(50n, 2))
    expect(history.floor).toEqual(at(50n, 2))
  })

  test('has a floor that only rises', () => {
    const history = new PrimaryHistory(1_000)
    history.note(0, at(10n))
    history.raiseFloor(at(20n))
    history.raiseFloor(at(15n))
    expect(history.floor).toEqual(at(20n))
  })
})
