import type { WalPoint } from './lsn.ts'
import { covers, type Standby, type StandbyState } from './standby.ts'
import { NotProven } from './standby-faults.ts'

/** What a read on a standby must prove before anything of it counts. */
export interface Admission {
  /** Whether the server is to be asked, on the same connection and before the read begins: nothing is known of it. */
  readonly asksFirst: boolean
  /** Takes in what it answered. @throws {@link NotProven}. */
  found(state: StandbyState): void
  /** Takes in which run of which server it was. @throws {@link NotProven}. */
  admit(run: string): void
}

/**
 * Admits reads of servers that were known to have replayed a point before the read began: what is learnt of them while it goes on says nothing of the
 * snapshot that it has.
 */
export function admitWhere(member: Standby, point: WalPoint, asksFirst: boolean): Admission {
  const runs = asksFirst ? [] : member.runsPast(point)
  return {
    asksFirst,
    found: (state) => {
      member.learnOther(state)
      if (!state.isRecovering || !covers(state, point)) throw new NotProven()
      runs.push(state.run)
    },
    admit: (run) => {
      if (!runs.includes(run)) throw new NotProven()
    },
  }
}
