import { expect, test } from 'vitest'
import { admitWhere } from '../../../src/database/replicas/admission.ts'
import { PrimaryHistory } from '../../../src/database/replicas/primary-history.ts'
import { Standby } from '../../../src/database/replicas/standby.ts'
import { NotProven } from '../../../src/database/replicas/standby-faults.ts'

const point = { systemId: '7', timeline: 1, lsn: 10n }
const state = (run: string, lsn: bigint, timeline = 1) => ({
  ...point,
  run,
  lsn,
  timeline,
  isRecovering: true,
})

function standbyAt(run: string, lsn: bigint): Standby {
  const history = new PrimaryHistory(1_000)
  history.note(0, { ...point, lsn: 0n })
  const standby = new Standby('one')
  standby.learn(state(run, lsn))
  standby.review(history, 0, 1_000)
  expect(standby.absence).toBeUndefined()
  return standby
}

test('a read counts on the run of a server that had replayed enough before it began, and on no other', () => {
  const standby = standbyAt('a', 10n)
  const before = admitWhere(standby, point, false)
  // Its snapshot may be older than this.
  standby.learnOther(state('b', 10n))
  before.admit('a')
  expect(() => before.admit('b')).toThrow(NotProven)
  admitWhere(standby, point, false).admit('b')
  expect(() => admitWhere(standby, { ...point, lsn: 11n }, false).admit('b')).toThrow(NotProven)
})

test('a server that is asked first counts by its own answer alone', () => {
  const standby = standbyAt('a', 10n)
  const admission = admitWhere(standby, point, true)
  expect(() => admission.admit('a')).toThrow(NotProven)
  admission.found(state('b', 10n))
  admission.admit('b')
  for (const wrong of [state('c', 9n), state('c', 10n, 2), { ...state('c', 10n), isRecovering: false }])
    expect(() => admission.found(wrong)).toThrow(NotProven)
  expect(() => admission.admit('c')).toThrow(NotProven)
})
