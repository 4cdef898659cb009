import type { WalPoint } from './lsn.ts'
import type { Standby, StandbyState } from './standby.ts'
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

/** Admits reads of servers that are known to have replayed a point. */
export function admitWhere(member: Standby, point: WalPoint, asksFirst: boolean): Admission {
  return {
    asksFirst,
    found: (state) => {
      member.learnOther(state)
      if (!state.isRecovering) throw new NotProven()
    },
    admit: (run) => {
      if (!member.hasRunReplayed(run, point)) throw new NotProven()
    },
  }
}
