import type { Member } from './cluster-view.ts'

/** How a leader may be lost. */
export const DRILL_KINDS = ['kill', 'freeze', 'patroni', 'etcd'] as const
export type DrillKind = (typeof DRILL_KINDS)[number]

/** What each kind does, in words for people. */
export const KIND_WORDS: Readonly<Record<DrillKind, string>> = {
  kill: 'Patroni and PostgreSQL of the leader are killed',
  freeze: 'Patroni and PostgreSQL of the leader are frozen',
  patroni: 'Patroni of the leader is frozen, and PostgreSQL goes on',
  etcd: 'etcd goes away, and everything else goes on',
}

/** How the blow is struck: the one thing of a drill that depends on where the cluster runs. */
export interface Strike {
  /** Stops replication from the leader; false where that cannot be done here. */
  cutReplication(leader: Member, signal: AbortSignal): Promise<boolean>
  /** Does what the kind says, and answers when it is done. */
  strike(kind: DrillKind, leader: Member, signal: AbortSignal): Promise<void>
  /** Takes everything back: starts, thaws, connects. Must do no harm where nothing was done. */
  heal(kind: DrillKind, leader: Member, signal: AbortSignal): Promise<void>
}
