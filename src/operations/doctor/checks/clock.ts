import { durationText } from '../amounts.ts'
import { type Check, fail, ok, warn } from '../check.ts'

const WARN_SECONDS = 2
const FAIL_SECONDS = 60

export const CLOCK: Check = {
  name: 'clock',
  on: 'server',
  looksAt: 'The clock of this machine against that of the server, less the time that asking takes.',
  why: 'Schedules, expiries and the ages of reads are reckoned with both.',
  async examine({ ask }, { clock }) {
    const beforeMs = clock()
    const [row] = await ask<{ ms: number }>(
      'select extract(epoch from clock_timestamp())::float8 * 1000 as ms',
    )
    const afterMs = clock()
    return [judgeClock(row!.ms, beforeMs, afterMs)]
  },
}

/** The other clock was read somewhere between two readings of this one: only what lies outside is certain. All in milliseconds. */
export function judgeClock(otherMs: number, beforeMs: number, afterMs: number) {
  const apart = Math.max(0, beforeMs - otherMs, otherMs - afterMs) / 1000
  const says = `The clocks of this machine and of the server are ${durationText(apart)} apart.`
  const means = 'Jobs run at the wrong time, and sessions and keys end early or late.'
  const todo = 'Let both machines keep their time by NTP (chrony, systemd-timesyncd).'
  const facts = { apartSeconds: apart }
  if (apart > FAIL_SECONDS) return fail(says, means, todo, facts)
  if (apart > WARN_SECONDS) return warn(says, means, todo, facts)
  return ok('The clocks of this machine and of the server agree.', facts)
}
