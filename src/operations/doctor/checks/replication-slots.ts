import { bytesText, countText } from '../amounts.ts'
import { type Check, fail, type Finding, ok, warn } from '../check.ts'

const MUCH_BYTES = 1024 ** 3

interface Slot {
  readonly name: string
  readonly active: boolean
  readonly status: string | null
  readonly keptBytes: number | null
}

export const REPLICATION_SLOTS: Check = {
  name: 'replication-slots',
  on: 'server',
  looksAt:
    'Slots that nobody reads from, what they keep, those that have lost what they waited for, and the bound on all of them.',
  why: 'A slot keeps the log for a standby that is away, until the disk of the primary is full.',
  async examine({ ask }) {
    const slots = await ask<Slot>(
      `select slot_name as name, active, wal_status as status, pg_wal_lsn_diff(
           case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end, restart_lsn)::float8 as "keptBytes"
       from pg_replication_slots order by 1`,
    )
    if (slots.length === 0) return [ok('There are none.')]
    const [row] = await ask<{ bound: number }>(
      `select setting::float8 as bound from pg_settings where name = 'max_slot_wal_keep_size'`,
    )
    const found = slots.flatMap((slot) => judge(slot, row!.bound < 0))
    if (row!.bound < 0)
      found.push(
        warn(
          'max_slot_wal_keep_size is unlimited.',
          'A standby that stays away fills the disk of the primary.',
          'Set max_slot_wal_keep_size, such as to 16GB, and reload.',
        ),
      )
    if (found.length > 0) return found
    const most = Math.max(...slots.map(({ keptBytes }) => keptBytes ?? 0))
    return [ok(`${countText(slots.length, 'slot')}, which keep ${bytesText(most)} at most.`, { slots })]
  },
}

function judge({ name, active, status, keptBytes }: Slot, isUnbounded: boolean): Finding[] {
  if (status === 'lost')
    return [
      fail(
        `The slot ${name} has lost the log that it waited for.`,
        'Its standby cannot catch up any more.',
        `Make that standby anew from a backup; \`select pg_drop_replication_slot('${name}')\` removes the slot.`,
      ),
    ]
  if (active) return []
  const kept = bytesText(keptBytes ?? 0)
  const says = `Nobody reads from the slot ${name}, which keeps ${kept} of the log.`
  const todo = `Bring its standby back, or drop it with \`select pg_drop_replication_slot('${name}')\`.`
  if (isUnbounded && (keptBytes ?? 0) > MUCH_BYTES)
    return [fail(says, 'It keeps more until the disk is full.', todo)]
  return [warn(says, 'It keeps more as long as its standby is away.', todo)]
}
